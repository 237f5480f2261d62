//! Devices by the name that a user gives.

use std::str::FromStr;

use burn::tensor::Device;

/// A device as a user names it: `cpu`, `cuda`, `cuda:1`, `vulkan` or `metal`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceName {
    /// The processor; always available.
    #[default]
    Cpu,
    /// The CUDA device with this number; Cargo feature `cuda`.
    Cuda(usize),
    /// The default Vulkan device; Cargo feature `vulkan`.
    Vulkan,
    /// The default Metal device; Cargo feature `metal`.
    Metal,
}

/// Why a device is not available.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is no device of this name.
    #[error("`{name}` is no device: expected cpu, cuda, cuda:N, vulkan or metal")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// The program was built without the backend.
    #[error(
        "`{name}` needs a build with the Cargo feature `{feature}`: build again with \
         `--features {feature}`, or use `cpu`"
    )]
    NotBuilt {
        /// What was given.
        name: String,
        /// The feature that adds the backend.
        feature: &'static str,
    },
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown {
            name: name.to_string(),
        };
        match name.split_once(':') {
            None => match name {
                "cpu" => Ok(Self::Cpu),
                "cuda" => Ok(Self::Cuda(0)),
                "vulkan" => Ok(Self::Vulkan),
                "metal" => Ok(Self::Metal),
                _ => Err(unknown()),
            },
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            Some(_) => Err(unknown()),
        }
    }
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Cuda(index) => write!(formatter, "cuda:{index}"),
            Self::Vulkan => formatter.write_str("vulkan"),
            Self::Metal => formatter.write_str("metal"),
        }
    }
}

impl DeviceName {
    /// The device, without autodiff.
    ///
    /// # Errors
    /// The program was built without its backend.
    pub fn device(self) -> Result<Device, DeviceError> {
        #[allow(unused_variables)]
        let missing = |feature: &'static str| DeviceError::NotBuilt {
            name: self.to_string(),
            feature,
        };
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(Device::cuda(index)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(missing("cuda")),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "vulkan"))]
            Self::Vulkan => Err(missing("vulkan")),
            #[cfg(feature = "metal")]
            Self::Metal => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "metal"))]
            Self::Metal => Err(missing("metal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["cpu", "cuda:0", "cuda:3", "vulkan", "metal"] {
            let device: DeviceName = name.parse().expect("a device");
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
        for name in ["", "gpu", "cuda:", "cuda:x", "cpu:0", "CPU"] {
            assert!(name.parse::<DeviceName>().is_err(), "{name}");
        }
    }
}
