//! Which of burn's backends the operations of this crate exist for.

use burn::backend::DispatchDevice;
use burn::tensor::Device;

/// Why modules of this crate do not run on a device; none where they do.
pub(crate) fn refusal(device: &Device) -> Option<String> {
    // The variants of other backends exist only where something else in the program turns them on.
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
