//! Where a container's streams are recorded: a file, a collector, or both.

use jiff::Timestamp;
use rustix::event::epoll::EventFlags;
use wharf_types::Result;

use super::remote::Remote;
use super::{LogFile, Stream};
use crate::poll::Poll;
use crate::protocol::LogPlan;

/// The record of one container's streams.
pub(crate) struct Log {
    file: Option<LogFile>,
    remote: Option<Box<Remote>>,
    /// Whether standard input is part of it.
    stdin: bool,
}

impl Log {
    /// Opens what `plan` asks for, if it asks for anything.
    ///
    /// # Errors
    /// The file cannot be opened, or the collector is not there.
    pub(crate) fn open(poll: &Poll, plan: &LogPlan, stdin: bool) -> Result<Option<Self>> {
        let (file, remote) = match plan {
            LogPlan::None => return Ok(None),
            LogPlan::JsonFile { .. } => (LogFile::open(plan)?, None),
            LogPlan::Remote { collector, cache } => {
                let file = cache.as_deref().map(LogFile::open).transpose()?.flatten();
                (file, Some(Box::new(Remote::open(poll, collector)?)))
            }
        };
        Ok(Some(Self { file, remote, stdin }))
    }

    /// Takes in what was read from a stream, or written to standard input.
    pub(crate) fn append(&mut self, stream: Stream, chunk: &[u8]) {
        if stream == Stream::Stdin && !self.stdin {
            return;
        }
        let now = Timestamp::now();
        if let Some(file) = &mut self.file {
            file.append(stream, chunk, &now.to_string());
        }
        if let Some(remote) = &mut self.remote {
            remote.append(stream, chunk, now);
        }
    }

    /// The stream has ended.
    pub(crate) fn finish(&mut self, stream: Stream) {
        let now = Timestamp::now();
        if let Some(file) = &mut self.file {
            file.finish(stream, &now.to_string());
        }
        if let Some(remote) = &mut self.remote {
            remote.finish(stream, now);
        }
    }

    /// Whether the container should wait for its collector.
    pub(crate) fn is_full(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.is_full())
    }

    /// Something happened on the connection to the collector.
    pub(crate) fn ready(&mut self, flags: EventFlags) {
        self.remote.iter_mut().for_each(|remote| remote.ready(flags));
    }

    /// Whether time matters.
    pub(crate) fn needs_clock(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.needs_clock())
    }

    /// Does what time asks for.
    pub(crate) fn tend(&mut self) {
        self.remote.iter_mut().for_each(|remote| remote.tend());
    }

    /// Waits until all is recorded that can be: nothing is appended any more.
    pub(crate) fn wait(&mut self) {
        self.file.iter_mut().for_each(LogFile::wait);
    }

    /// Gives the collector its last chance.
    pub(crate) fn drain(&mut self) {
        self.remote.iter_mut().for_each(|remote| remote.wait());
    }

    /// Gives memory back that only a busy log needs.
    pub(crate) fn shrink(&mut self) {
        self.file.iter_mut().for_each(LogFile::shrink);
    }

    /// What could not be recorded so far, as a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let file = self.file.as_ref().and_then(LogFile::problem);
        let all: Vec<_> = file.into_iter().chain(self.remote.as_ref().and_then(|remote| remote.problem())).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}
