//! End to end: the built binary, a real engine for every test, real containers, and a census at the end of each.
//!
//! They need root, and busybox on the host; `cargo xtask test` fetches what is missing and `cargo xtask vm` runs some of
//! them on cgroup v2. One file for each topic, one executable for all.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails with the place and the reason")]

mod against_dockerd;
mod archive_put;
mod archives;
mod attach;
mod bad_input;
mod breakouts;
mod build;
mod clients;
mod commands;
mod crash;
mod daemon;
mod dns;
mod docker_cli;
mod exec;
mod exit_codes;
mod firewall;
mod health;
mod host_config;
mod isolation;
mod limits;
mod logs;
mod network;
mod networks;
mod networks_bad_input;
mod networks_drivers;
mod platforms;
mod ports;
mod process;
mod registries;
mod registry;
mod registry_bucket;
mod registry_clients;
mod registry_model;
mod registry_page;
mod registry_tls;
mod remote;
mod restart;
mod runtime;
mod schema;
mod smoke;
mod stdio;
mod stop;
mod storage;
mod torture;
mod users;
mod volumes;
mod workloads;
