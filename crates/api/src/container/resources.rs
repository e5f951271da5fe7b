//! Limits on what a container may use.

use serde::{Deserialize, Serialize};

use crate::{List, Map};

/// Limits on processor, memory, devices and processes. 0 and `null` mean no limit unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Resources {
    /// Relative weight, 2 to 262144; 1024 is normal.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory: i64,
    /// Billionths of a processor.
    pub nano_cpus: i64,
    /// The cgroup under which the container's own is made.
    pub cgroup_parent: String,
    /// Relative weight, 10 to 1000.
    pub blkio_weight: u16,
    /// Relative weight per device.
    pub blkio_weight_device: List<WeightDevice>,
    /// Bytes per second read from a device.
    pub blkio_device_read_bps: List<ThrottleDevice>,
    /// Bytes per second written to a device.
    pub blkio_device_write_bps: List<ThrottleDevice>,
    /// Operations per second read from a device.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: List<ThrottleDevice>,
    /// Operations per second written to a device.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: List<ThrottleDevice>,
    /// Microseconds of one CFS period.
    pub cpu_period: i64,
    /// Microseconds of processor time per period.
    pub cpu_quota: i64,
    /// Microseconds of one real-time period.
    pub cpu_realtime_period: i64,
    /// Microseconds of real-time processor time per period.
    pub cpu_realtime_runtime: i64,
    /// Processors, `0-3,7`.
    pub cpuset_cpus: String,
    /// Memory nodes, `0-1`.
    pub cpuset_mems: String,
    /// Devices of the host.
    pub devices: List<DeviceMapping>,
    /// Rules of the device cgroup, `c 1:3 mr`.
    pub device_cgroup_rules: List<String>,
    /// Devices asked of drivers, for instance GPUs.
    pub device_requests: List<DeviceRequest>,
    /// Kernel memory in bytes; gone since API 1.42.
    #[serde(skip_serializing_if = "is_zero")]
    pub kernel_memory: i64,
    /// Kernel memory for TCP in bytes.
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "is_zero")]
    pub kernel_memory_tcp: i64,
    /// Soft limit in bytes.
    pub memory_reservation: i64,
    /// Memory and swap together in bytes; -1 for any amount of swap.
    pub memory_swap: i64,
    /// 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// Do not kill when memory runs out (cgroup v1).
    pub oom_kill_disable: Option<bool>,
    /// Number of processes and threads; 0 and -1 mean no limit, `null` leaves it as it is in an update.
    pub pids_limit: Option<i64>,
    /// Limits per process.
    pub ulimits: List<Ulimit>,
    /// Windows only.
    pub cpu_count: i64,
    /// Windows only.
    pub cpu_percent: i64,
    /// Windows only.
    #[serde(rename = "IOMaximumIOps")]
    pub io_maximum_iops: u64,
    /// Windows only.
    #[serde(rename = "IOMaximumBandwidth")]
    pub io_maximum_bandwidth: u64,
}

/// The relative weight of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct WeightDevice {
    /// Path of the device.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A rate for one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ThrottleDevice {
    /// Path of the device.
    pub path: String,
    /// Per second.
    pub rate: u64,
}

/// A device of the host in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceMapping {
    /// Path on the host.
    pub path_on_host: String,
    /// Path in the container.
    pub path_in_container: String,
    /// Of `r`, `w` and `m`.
    pub cgroup_permissions: String,
}

/// Devices asked of a driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct DeviceRequest {
    /// The driver, for instance `cdi`.
    pub driver: String,
    /// How many; -1 for all.
    pub count: i64,
    /// Which ones.
    #[serde(rename = "DeviceIDs")]
    pub device_ids: List<String>,
    /// An OR of ANDs of capabilities.
    pub capabilities: List<Vec<String>>,
    /// For the driver.
    pub options: Map<String, String>,
}

/// A limit per process (setrlimit).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Ulimit {
    /// `nofile`, `core`, ...
    pub name: String,
    /// -1 for no limit.
    pub hard: i64,
    /// -1 for no limit.
    pub soft: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}
