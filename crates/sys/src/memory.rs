//! The process's own memory.

/// Gives free memory of the heap back to the kernel (malloc_trim(3)). Costs some page faults later.
pub fn trim() {
    // SAFETY: malloc_trim takes an integer, and may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
