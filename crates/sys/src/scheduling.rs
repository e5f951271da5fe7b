//! How a process is scheduled, on processors and disks, and which execution domain it has.

use std::io;

use crate::check;

/// `struct sched_attr` (sched_setattr(2)), the first version of it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Size of this structure; set by [`set_scheduling`].
    pub size: u32,
    /// Policy number: other 0, fifo 1, round robin 2, batch 3, idle 5, deadline 6.
    pub policy: u32,
    /// Flags: reset on fork 1, reclaim 2, deadline overrun 4, ...
    pub flags: u64,
    /// -20 to 19, for other and batch.
    pub nice: i32,
    /// 1 to 99, for fifo and round robin.
    pub priority: u32,
    /// Nanoseconds, for deadline.
    pub runtime: u64,
    /// Nanoseconds, for deadline.
    pub deadline: u64,
    /// Nanoseconds, for deadline.
    pub period: u64,
}

/// Sets the calling thread's scheduling.
pub fn set_scheduling(mut scheduling: Scheduling) -> io::Result<()> {
    scheduling.size = std::mem::size_of::<Scheduling>() as u32;
    // SAFETY: the structure has the size that it says, and is only read.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) }).map(drop)
}

/// Sets the calling thread's input and output priority: class (real-time 1, best effort 2, idle 3) and level, 0 to 7.
pub fn set_io_priority(class: u8, level: u8) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = libc::c_int::from(class) << 13 | libc::c_int::from(level);
    // SAFETY: ioprio_set takes three integers.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) }).map(drop)
}

/// Lets the calling process run only on these processors (sched_setaffinity(2)).
pub fn set_processors(processors: &[usize]) -> io::Result<()> {
    let mut mask = [0_u64; 16];
    for processor in processors {
        let word = mask.get_mut(processor / 64).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (processor % 64);
    }
    // SAFETY: the mask has the size that is passed, and is only read.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, std::mem::size_of_val(&mask), mask.as_ptr()) })
        .map(drop)
}

/// Sets the execution domain (personality(2)).
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: personality takes an integer.
    check(unsafe { libc::personality(domain.into()) }.into()).map(drop)
}
