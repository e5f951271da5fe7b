//! What a container uses: `GET /containers/{id}/stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::List;

/// One reading. Times of the processor are nanoseconds, sizes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// The container's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// With a leading slash.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `linux` (API 1.52).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub os_type: String,
    /// When this reading was taken; RFC 3339.
    pub read: String,
    /// Processor.
    pub cpu_stats: CpuStats,
    /// Memory.
    pub memory_stats: MemoryStats,
    /// By interface; absent without a network of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub networks: BTreeMap<String, NetworkStats>,
    /// Processes and threads.
    pub pids_stats: PidsStats,
    /// Block devices.
    pub blkio_stats: BlkioStats,
    /// Windows only.
    pub num_procs: u32,
    /// Windows only.
    pub storage_stats: StorageStats,
    /// When the reading before was taken; `0001-01-01T00:00:00Z` if there was none.
    pub preread: String,
    /// Processor at the reading before.
    pub precpu_stats: CpuStats,
}

/// Use of the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// The container's.
    pub cpu_usage: CpuUsage,
    /// The whole host's, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_cpu_usage: Option<u64>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub online_cpus: Option<u32>,
    /// How often the quota was used up.
    pub throttling_data: ThrottlingData,
}

/// Nanoseconds of processor time since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuUsage {
    /// All.
    pub total_usage: u64,
    /// Per processor (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_usage: Vec<u64>,
    /// In the kernel.
    pub usage_in_kernelmode: u64,
    /// In programs.
    pub usage_in_usermode: u64,
}

/// How often the quota was used up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottlingData {
    /// Periods.
    pub periods: u64,
    /// Periods in which it was.
    pub throttled_periods: u64,
    /// Nanoseconds waited.
    pub throttled_time: u64,
}

/// Use of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// Now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<u64>,
    /// At most so far (cgroup v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_usage: Option<u64>,
    /// All that `memory.stat` holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stats: BTreeMap<String, u64>,
    /// How often the limit was hit (cgroup v1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failcnt: Option<u64>,
    /// The limit, or the host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// At most; `u64::MAX` without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Use of block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: List<BlkioEntry>,
    /// Operations.
    pub io_serviced_recursive: List<BlkioEntry>,
    /// Operations that wait (cgroup v1), as all that follow.
    pub io_queue_recursive: List<BlkioEntry>,
    /// Nanoseconds of service.
    pub io_service_time_recursive: List<BlkioEntry>,
    /// Nanoseconds of waiting.
    pub io_wait_time_recursive: List<BlkioEntry>,
    /// Merged operations.
    pub io_merged_recursive: List<BlkioEntry>,
    /// Milliseconds of device time.
    pub io_time_recursive: List<BlkioEntry>,
    /// Sectors.
    pub sectors_recursive: List<BlkioEntry>,
}

/// One number about one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlkioEntry {
    /// Of the device.
    pub major: u64,
    /// Of the device.
    pub minor: u64,
    /// `read`, `write`, ...
    pub op: String,
    /// The number.
    pub value: u64,
}

/// Traffic of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkStats {
    /// Received bytes.
    pub rx_bytes: u64,
    /// Received packets.
    pub rx_packets: u64,
    /// Receive errors.
    pub rx_errors: u64,
    /// Packets dropped on receipt.
    pub rx_dropped: u64,
    /// Sent bytes.
    pub tx_bytes: u64,
    /// Sent packets.
    pub tx_packets: u64,
    /// Send errors.
    pub tx_errors: u64,
    /// Packets dropped on sending.
    pub tx_dropped: u64,
}

/// Windows only; an empty object elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageStats {}
