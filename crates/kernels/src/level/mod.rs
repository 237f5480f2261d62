//! Instruction-set levels, detected once.

#[cfg(target_arch = "x86_64")]
mod tile_unit;

use std::cell::Cell;
use std::sync::OnceLock;

/// An instruction-set level of this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The instructions that every processor of the target has.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL. Its BF16 part is used where the processor has it.
    Avx512,
    /// AVX-512, and the bf16 tiles of AMX if the operating system permits their use.
    Amx,
}

thread_local! {
    /// The level in use on this thread, once it is known. The processor always has it.
    static ON_THREAD: Cell<Option<Level>> = const { Cell::new(None) };
}

/// The environment variable that selects a lower level by its [name](Level::name).
pub const LEVEL_VARIABLE: &str = "LDROP_CPU";

impl Level {
    /// All levels, the lowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512, Self::Amx];

    /// The level in use: the processor's highest, or a lower one that `LDROP_CPU` selects. Within
    /// [`run_on`](Self::run_on), the level that it was called with.
    #[inline]
    pub fn current() -> Self {
        ON_THREAD.get().unwrap_or_else(|| {
            let level = Self::of_process();
            ON_THREAD.set(Some(level));
            level
        })
    }

    /// The level that new threads use.
    #[cold]
    fn of_process() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wanted = std::env::var(LEVEL_VARIABLE).ok();
            let wanted = wanted.as_deref().and_then(Self::from_name);
            Self::highest().min(wanted.unwrap_or(Self::Amx))
        })
    }

    /// The levels of this processor, the lowest first. Ignores `LDROP_CPU`.
    pub fn available() -> impl Iterator<Item = Self> {
        let highest = Self::highest();
        Self::ALL.into_iter().filter(move |&level| level <= highest)
    }

    /// Runs `work` on a pool of `threads` threads that use this level, or the processor's highest
    /// if that is lower. A [`Team`](crate::team::Team) that `work` makes uses the same level. Tests
    /// compare levels in this way within one process.
    ///
    /// # Panics
    /// If `work` panics, or the threads cannot be started.
    pub fn run_on<T: Send>(self, threads: usize, work: impl FnOnce() -> T + Send) -> T {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .start_handler(move |_| self.use_on_this_thread())
            .build();
        pool.expect("threads").install(work)
    }

    /// Sets the level in use on this thread to this one, or to the processor's highest if that is
    /// lower.
    pub(crate) fn use_on_this_thread(self) {
        ON_THREAD.set(Some(self.min(Self::highest())));
    }

    /// The name of the level, which is also its value in `LDROP_CPU`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Amx => "amx",
        }
    }

    /// The level with a [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }

    /// The highest level of this processor. Ignores `LDROP_CPU`.
    pub fn highest() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            if !avx2 {
                return Self::Portable;
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match avx512 {
                false => Self::Avx2,
                true if tile_unit::is_usable() => Self::Amx,
                true => Self::Avx512,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Portable
    }
}

/// Defines a function whose body is compiled once for every level. A call chooses the level in use.
///
/// All bodies are the same Rust code. In it, the constant `FUSED` says whether the level has fused
/// multiply-add instructions. All levels that have them give the same bits.
macro_rules! levelled {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body<const FUSED: bool>($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($argument: $kind),*) $(-> $result)? {
                body::<true>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($argument: $kind),*) $(-> $result)? {
                body::<true>($($argument),*)
            }

            match $crate::level::Level::current() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level is `Avx2` only where the processor has AVX2, FMA and F16C.
                $crate::level::Level::Avx2 => unsafe { avx2($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: these levels mean that the processor has the named parts of AVX-512.
                $crate::level::Level::Avx512 | $crate::level::Level::Amx => unsafe {
                    avx512($($argument),*)
                },
                _ => body::<{ cfg!(target_arch = "aarch64") }>($($argument),*),
            }
        }
    };
}
pub(crate) use levelled;

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::team::Team;

    #[test]
    fn a_level_holds_on_all_threads_that_belong_to_the_work() {
        let outside = Level::current();
        for level in Level::available() {
            level.run_on(3, || {
                assert_eq!(Level::current(), level);
                let levels: Vec<Level> =
                    (0..64).into_par_iter().map(|_| Level::current()).collect();
                assert_eq!(levels, [level; 64]);
                Team::new(3).run(64, &|_| assert_eq!(Level::current(), level));
            });
            assert_eq!(Level::current(), outside);
        }
    }

    #[test]
    fn no_level_above_the_highest_is_used() {
        Level::Amx.run_on(1, || assert_eq!(Level::current(), Level::highest()));
        assert!(Level::available().eq(Level::ALL.into_iter().filter(|&l| l <= Level::highest())));
        for level in Level::ALL {
            assert_eq!(Level::from_name(level.name()), Some(level));
        }
        assert_eq!(Level::from_name("none"), None);
    }
}
