//! The threads that work on tokens, and the products that they compute.

use kernels::decode::Matrix;
use kernels::kept_groups::KeptGroups;
use kernels::product::Precision;
use kernels::team::Team;

use crate::error::EngineError;

/// Most tokens of a forward pass for which weights are read as they are stored. With more tokens it is
/// faster to pack the weights first.
pub(crate) const FEW_TOKENS: usize = 16;

/// The threads of an engine. A team of threads that spin while they wait computes few tokens; a thread pool
/// computes many.
pub(crate) struct Workers {
    threads: usize,
    precision: Precision,
    team: Team,
    pool: Option<rayon::ThreadPool>,
}

impl Workers {
    /// Starts `threads` threads; 0 for all of the machine. `precision` is that of products with many tokens.
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

    /// [`multiply`](Self::multiply) without the outputs that tokens drop; see [`Matrix::multiply_kept`].
    pub(crate) fn multiply_kept(
        &self,
        matrix: &Matrix,
        x: &[f32],
        y: &mut [f32],
        kept: &KeptGroups,
        group: usize,
    ) {
        if x.len() <= FEW_TOKENS * matrix.inputs() {
            matrix.multiply_kept(&self.team, y, x, kept, group);
        } else {
            matrix.multiply_many_kept(y, x, kept, group, self.precision);
        }
    }

    /// Runs the work on `tokens` tokens in the threads.
    pub(crate) fn run<T: Send>(&self, tokens: usize, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) if tokens > 1 => pool.install(work),
            _ => work(),
        }
    }
}
