#![no_main]

include!("../harness/tar.rs");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tar_entries(bytes));
