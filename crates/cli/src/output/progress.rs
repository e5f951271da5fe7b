//! Progress of long work, as the engine reports it: bars on a terminal, plain lines otherwise.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wharf_api::image::Progress as Line;

use crate::failure::Outcome;

/// Shows progress.
pub struct Progress {
    bars: Option<MultiProgress>,
    by_id: HashMap<String, ProgressBar>,
    quiet: bool,
    to_stderr: bool,
    last: HashMap<String, String>,
}

impl Progress {
    /// Results belong to standard output.
    pub fn on_stdout(quiet: bool) -> Self {
        Self::new(quiet, false, super::is_terminal())
    }

    /// Standard output belongs to something else.
    pub fn on_stderr(quiet: bool) -> Self {
        Self::new(quiet, true, std::io::IsTerminal::is_terminal(&std::io::stderr()))
    }

    fn new(quiet: bool, to_stderr: bool, terminal: bool) -> Self {
        let target = if to_stderr { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::stdout() };
        let bars = (terminal && !quiet).then(|| MultiProgress::with_draw_target(target));
        Self { bars, by_id: HashMap::new(), quiet, to_stderr, last: HashMap::new() }
    }

    /// Shows one report. What belongs to no part of the work is printed even when quiet: it is the result.
    pub fn show(&mut self, line: &Line) -> Outcome<()> {
        if let Some(stream) = &line.stream {
            return self.print(stream);
        }
        let status = line.status.as_deref().unwrap_or_default();
        match &line.id {
            None if status.is_empty() => Ok(()),
            None => self.print(&format!("{status}\n")),
            Some(_) if self.quiet => Ok(()),
            Some(id) if self.bars.is_some() => {
                self.draw(id, status, line);
                Ok(())
            }
            Some(id) if self.last.get(id).is_some_and(|last| last == status) => Ok(()),
            Some(id) => {
                self.last.insert(id.clone(), status.to_owned());
                self.print(&format!("{id}: {status}\n"))
            }
        }
    }

    fn print(&self, text: &str) -> Outcome<()> {
        let write = || {
            if self.to_stderr {
                super::err(text);
                return Ok(());
            }
            super::out(text)
        };
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    fn draw(&mut self, id: &str, status: &str, line: &Line) {
        let Some(bars) = &self.bars else { return };
        let bar = self.by_id.entry(id.to_owned()).or_insert_with(|| bars.add(ProgressBar::no_length()));
        let detail = line.progress_detail.as_ref();
        match detail.and_then(|detail| Some((detail.current?, detail.total.filter(|total| *total > 0)?))) {
            Some((current, total)) => {
                bar.set_style(style("{prefix}: {msg} [{bar:40}] {bytes}/{total_bytes}"));
                bar.set_length(total);
                bar.set_position(current);
            }
            None => bar.set_style(style("{prefix}: {msg}")),
        }
        bar.set_prefix(id.to_owned());
        bar.set_message(status.to_owned());
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants, and a wrong one shows in the first test that looks.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
