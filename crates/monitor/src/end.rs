//! The end of a container: its last words, its record, and taking down what it had.

use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_types::Error;

use crate::exit::write_exit;
use crate::monitor::Monitor;
use crate::protocol::{Event, Exit};
use crate::relay::Relays;
use crate::session::{GRACE, Session};
use crate::start::{FIRST, now};

impl Monitor {
    /// Brings everything to its end after the first process ended with `code`. Goes on past errors and puts them into the record.
    ///
    /// The order is what others rely on: whoever sees its stream end finds the exit code, and whoever sees the connection to
    /// the monitor end finds its ports free. What the kernel takes its time for comes last, when nobody waits: the cgroup, the
    /// death of the network namespace, and the overlay's unmounting, which writes the file system of the upper folder to disk.
    /// Until this process has ended the container must not start again.
    pub(crate) fn end(mut self, code: i32, problem: Option<&Error>) {
        let mut problems: Vec<String> = problem.into_iter().map(Error::chain).collect();
        if !self.container.own_pids {
            problems.extend(self.container.cgroup.kill_all().err().map(|error| error.chain()));
        }
        self.last_output();
        (self.names, self.relays) = (None, Relays::default());
        let released = self.container.sandbox.as_mut().map(wharf_network::Sandbox::release);
        problems.extend(released.iter().flatten().map(Error::chain));
        let mut log = self.sessions.get_mut(&FIRST).and_then(Session::end_log);
        log.iter_mut().for_each(crate::log::Log::drain);
        problems.extend(log.as_ref().and_then(|log| log.problem()));
        let exit = Exit { code, oom_killed: self.oom_killed(&mut problems), finished_at: now(), problems };
        let exit = self.record(exit);
        self.events.publish(Event::Exited(exit.clone()), &mut self.connections);
        self.sessions.values_mut().for_each(Session::finish);
        self.listener.close();
        self.connections.clear();
        let exit = self.remove_cgroup(exit);
        // Nobody is left to be told of a failure, and what would fail is the wait for clients that are slow.
        let _ = self.serve_clients();
        self.close_sandbox(exit);
        log.iter_mut().for_each(crate::log::Log::wait);
    }

    /// Reads all output that is still to come. Usually that is what the pipes hold; if a process outside the container
    /// has them open, it is waited for a little.
    fn last_output(&mut self) {
        let deadline = Instant::now() + GRACE;
        loop {
            for key in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.drain(key);
                self.process_ended(key);
            }
            let open = self.open_outputs();
            let left = deadline.saturating_duration_since(Instant::now());
            if open.is_empty() || left.is_zero() {
                return;
            }
            let mut waiting: Vec<_> =
                open.iter().map(|output| PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)).collect();
            let timeout = Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().max(1).into() };
            // An interrupted wait is a short one.
            let _ = poll(&mut waiting, Some(&timeout));
        }
    }

    fn oom_killed(&self, problems: &mut Vec<String>) -> bool {
        let kills = self.container.cgroup.oom_kills();
        problems.extend(kills.as_ref().err().map(Error::chain));
        kills.is_ok_and(|kills| kills > 0)
    }

    fn record(&self, mut exit: Exit) -> Exit {
        if let Err(error) = write_exit(&self.run_dir, &exit) {
            exit.problems.push(error.chain());
        }
        exit
    }

    /// Removes the cgroup; if it cannot be removed, that is added to the record.
    fn remove_cgroup(&self, mut exit: Exit) -> Exit {
        let Err(error) = self.container.cgroup.remove() else { return exit };
        // Something got in that is not in the PID namespace.
        if self.container.cgroup.kill_all().and_then(|()| self.container.cgroup.remove()).is_ok() {
            return exit;
        }
        exit.problems.push(error.chain());
        self.record(exit)
    }

    /// Waits until the kernel has taken the network down; if it does not, that is added to the record.
    fn close_sandbox(&mut self, mut exit: Exit) {
        let problems = self.container.sandbox.take().map(wharf_network::Sandbox::close).unwrap_or_default();
        if !problems.is_empty() {
            exit.problems.extend(problems.iter().map(Error::chain));
            self.record(exit);
        }
    }
}
