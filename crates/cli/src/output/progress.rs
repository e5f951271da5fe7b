//! Progress of long work, as the engine reports it: bars on a terminal, plain lines otherwise.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use wharf_api::image::Progress as Line;
use wharf_client::JsonLines;

use crate::failure::Outcome;

/// Shows progress.
pub struct Progress {
    bars: Option<MultiProgress>,
    by_id: HashMap<String, ProgressBar>,
    quiet: bool,
    to_stderr: bool,
    last: HashMap<String, String>,
    silent: bool,
    total: Option<ProgressBar>,
    /// Bytes of each part that have arrived, and its size.
    arrived: HashMap<String, (u64, u64)>,
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
        Self {
            bars,
            by_id: HashMap::new(),
            quiet,
            to_stderr,
            last: HashMap::new(),
            silent: false,
            total: None,
            arrived: HashMap::new(),
        }
    }

    /// When quiet, results are left out as well: the command says them itself.
    pub fn results_are_said_elsewhere(&mut self) {
        self.silent = self.quiet;
    }

    /// All has been reported.
    pub fn finish(&mut self) {
        if let Some(total) = self.total.take() {
            total.finish_and_clear();
        }
    }

    /// Shows all reports of some work to its end.
    pub async fn follow(&mut self, mut lines: JsonLines<Line>) -> Outcome<()> {
        while let Some(line) = lines.next_progress().await {
            self.show(&line?)?;
        }
        self.finish();
        Ok(())
    }

    /// Shows one report. What belongs to no part of the work is printed even when quiet: it is the result.
    pub fn show(&mut self, line: &Line) -> Outcome<()> {
        if let Some(stream) = &line.stream {
            return self.print(stream);
        }
        if let Some(total) = line.aux.as_ref().and_then(|aux| aux.pointer("/io.wharf.pull/bytes")?.as_u64()) {
            self.begin_total(total);
        }
        let status = line.status.as_deref().unwrap_or_default();
        self.add_up(line, status);
        match &line.id {
            None if self.silent => Ok(()),
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

    /// A bar for all parts of a download together, above theirs.
    fn begin_total(&mut self, bytes: u64) {
        let Some(bars) = self.bars.as_ref().filter(|_| bytes > 0) else { return };
        let bar = bars.insert(0, ProgressBar::new(bytes));
        bar.set_style(style("{prefix}: [{bar:40}] {bytes}/{total_bytes} {binary_bytes_per_sec}"));
        bar.set_prefix("total");
        self.arrived.clear();
        if let Some(earlier) = self.total.replace(bar) {
            earlier.finish_and_clear();
        }
    }

    fn add_up(&mut self, line: &Line, status: &str) {
        let (Some(total), Some(id)) = (&self.total, &line.id) else { return };
        let detail = line.progress_detail.as_ref();
        match status {
            "Downloading" => {
                let of = |part: Option<u64>| part.unwrap_or(0);
                let now = detail.map_or((0, 0), |detail| (of(detail.current), of(detail.total)));
                self.arrived.insert(id.clone(), now);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete" => {
                let known = self.arrived.entry(id.clone()).or_default();
                known.1 = known.1.max(detail.and_then(|detail| detail.total).unwrap_or(0));
                known.0 = known.1;
            }
            _ => return,
        }
        total.set_position(self.arrived.values().map(|(current, _)| current).sum());
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
