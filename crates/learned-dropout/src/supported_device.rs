//! Which of burn's backends this crate supports.

use burn::backend::DispatchDevice;
use burn::tensor::Device;

/// The error message for a device that this crate does not support; none for a supported one.
pub(crate) fn refusal(device: &Device) -> Option<String> {
    // Variants of other backends exist only if another crate in the program enables their features.
    let plain = device.clone().without_autodiff();
    match plain.as_dispatch() {
        DispatchDevice::Flex(_) => None,
        #[cfg(any(feature = "cuda", feature = "vulkan", feature = "metal"))]
        DispatchDevice::Cube(_) => None,
        #[allow(unreachable_patterns)]
        other => Some(format!(
            "learned dropout does not run on {other:?}: it needs `Device::flex()`, or a GPU and the \
             feature `cuda`, `vulkan` or `metal` of the crate `learned-dropout`"
        )),
    }
}
