//! Instruction-set levels, detected once.

use std::sync::OnceLock;

/// An instruction-set level of this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the target has.
    Portable,
    /// AVX2 and FMA.
    Avx2,
}

/// The environment variable that forces a lower level: `portable` or `avx2`.
pub const LEVEL_VARIABLE: &str = "LDROP_CPU";

impl Level {
    /// The level in use: the processor's highest, or a lower one that `LDROP_CPU` asks for.
    pub fn current() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| {
            let wanted = std::env::var(LEVEL_VARIABLE).ok();
            Self::highest().min(
                wanted
                    .as_deref()
                    .and_then(Self::from_name)
                    .unwrap_or(Level::Avx2),
            )
        })
    }

    /// The name, as `LDROP_CPU` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Portable, Self::Avx2]
            .into_iter()
            .find(|level| level.name() == name)
    }

    fn highest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Self::Avx2;
        }
        Self::Portable
    }
}

/// Defines a function whose body is compiled once for every level and chosen at the call.
///
/// The bodies are the same Rust code, so all levels give the same bits.
macro_rules! levelled {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body($($argument: $kind),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($argument: $kind),*) $(-> $result)? {
                body($($argument),*)
            }

            match $crate::level::Level::current() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level is `Avx2` only where the processor has AVX2 and FMA.
                $crate::level::Level::Avx2 => unsafe { avx2($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}
pub(crate) use levelled;
