//! Containers.

mod config;
mod host_config;
mod inspect;
mod mount;
mod requests;
mod resources;
mod stats;
mod summary;

pub use config::{Config, HealthConfig};
pub use host_config::{HostConfig, LogConfig, RestartPolicy, RestartPolicyName};
pub use inspect::{
    Address, GraphDriver, Health, HealthStatus, HealthcheckResult, Inspect, LegacyNetworkSettings, MountPoint,
    NetworkSettings, State, Status,
};
pub use mount::{BindOptions, ImageOptions, Mount, MountType, TmpfsOptions, VolumeDriverConfig, VolumeOptions};
pub use requests::{
    Change, ChangeKind, CommitResponse, CreateRequest, CreateResponse, PathStat, PruneReport, Top, UpdateRequest,
    UpdateResponse, WaitError, WaitResponse,
};
pub use resources::{DeviceMapping, DeviceRequest, Resources, ThrottleDevice, Ulimit, WeightDevice};
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, CpuUsage, MemoryStats, NetworkStats, PidsStats, Stats, StorageStats,
    ThrottlingData,
};
pub use summary::{PortSummary, Summary, SummaryHealth, SummaryHostConfig, SummaryNetworkSettings};

pub use crate::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

/// Makes a type whose flattened part is a type of its own read leniently, as both halves of one object.
///
/// Serde's own flattening goes through a map and would lose what [`crate::decode`] knows about keys and nulls.
macro_rules! flattened {
    ($type:ident.$($part:ident),+) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error as _;
                let value = serde_json::Value::deserialize(deserializer)?;
                let document = $crate::lenient::Lenient(&value);
                let mut whole = Self::deserialize(document).map_err(D::Error::custom)?;
                $(whole.$part = serde::Deserialize::deserialize(document).map_err(D::Error::custom)?;)+
                Ok(whole)
            }
        }
    };
}
use flattened;
