//! The threads that work on tokens, and the products that they compute.

use kernels::decode::Matrix;
use kernels::product::Precision;
use kernels::team::Team;

use crate::error::EngineError;

/// Tokens of a forward pass up to which weights are read as they are stored. With more it pays to
/// pack them.
pub(crate) const FEW_TOKENS: usize = 16;

/// The threads of an engine. Few tokens are computed by a team that spins while it waits, many by a
/// pool.
pub(crate) struct Workers {
    threads: usize,
    precision: Precision,
    team: Team,
    pool: Option<rayon::ThreadPool>,
}

impl Workers {
    /// Starts `threads` threads; 0 stands for all that the machine has. `precision` is what products
    /// of many tokens are computed in.
    pub(crate) fn start(threads: usize, precision: Precision) -> Result<Self, EngineError> {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let pool = (threads > 1).then(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .thread_name(|index| format!("prefill-{index}"))
                .build()
                .map_err(|error| EngineError::Threads {
                    threads,
                    reason: error.to_string(),
                })
        });
        Ok(Self {
            threads,
            precision,
            pool: pool.transpose()?,
            team: Team::new(threads),
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    pub(crate) fn team(&self) -> &Team {
        &self.team
    }

    /// `y = x · matrixᵀ`; must run inside [`run`](Self::run).
    pub(crate) fn multiply(&self, matrix: &Matrix, x: &[f32], y: &mut [f32]) {
        if x.len() <= FEW_TOKENS * matrix.inputs() {
            matrix.multiply(&self.team, y, x);
        } else {
            matrix.multiply_many(y, x, self.precision);
        }
    }

    /// Runs work on `tokens` tokens inside the threads.
    pub(crate) fn run<T: Send>(&self, tokens: usize, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) if tokens > 1 => pool.install(work),
            _ => work(),
        }
    }
}
