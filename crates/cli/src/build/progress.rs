//! Showing a build: plain lines, a live view with one line per running step, JSON, or nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use wharf_api::build::BuildMessage;

use crate::commands::builder::build::BuildFlags;
use crate::failure::{Failure, Outcome};
use crate::output;

/// How many lines of a running step's output are shown.
const FOLD: usize = 6;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Line after line.
    Plain,
    /// A view that is redrawn.
    Tty,
    /// The engine's messages as they come.
    RawJson,
    /// Only the image's id.
    Quiet,
}

impl Style {
    /// As the flags say.
    pub fn of(flags: &BuildFlags) -> Outcome<Self> {
        if flags.quiet {
            return Ok(Self::Quiet);
        }
        match flags.progress.as_str() {
            "auto" if std::io::stderr().is_terminal() => Ok(Self::Tty),
            "auto" | "plain" => Ok(Self::Plain),
            "tty" if std::io::stderr().is_terminal() => Ok(Self::Tty),
            "tty" => Err(Failure::new("failed to get console: provided file is not a console")),
            "rawjson" => Ok(Self::RawJson),
            "quiet" => Ok(Self::Quiet),
            other => Err(Failure::new(format!("invalid progress type {other:?}"))
                .with_hint("auto, plain, tty, rawjson and quiet are there")),
        }
    }
}

/// What is known of a build while it runs.
pub struct Display {
    style: Style,
    begun: Instant,
    steps: BTreeMap<usize, Step>,
    /// In the order in which they began.
    order: Vec<usize>,
    tasks: Vec<(String, Instant, Option<f64>)>,
    /// Lines of the view that can be drawn over.
    drawn: usize,
    counted: usize,
}

struct Step {
    name: String,
    number: usize,
    begun: Option<Instant>,
    seconds: Option<f64>,
    end: End,
    tail: VecDeque<String>,
    /// The last line as long as it is not complete.
    partial: String,
    all: Vec<String>,
    printed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Done,
    Cached,
    Failed,
}

impl Display {
    /// A build that begins now.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            begun: Instant::now(),
            steps: BTreeMap::new(),
            order: Vec::new(),
            tasks: Vec::new(),
            drawn: 0,
            counted: 0,
        }
    }

    /// Something that the client itself did.
    pub fn note(&mut self, text: &str, seconds: f64) {
        self.counted += 1;
        match self.style {
            Style::Plain => output::err(&format!("#{0} [internal] {text}\n#{0} DONE {seconds:.1}s\n\n", self.counted)),
            Style::Tty => self.tasks.push((format!("[internal] {text}"), Instant::now(), Some(seconds))),
            Style::RawJson | Style::Quiet => {}
        }
    }

    /// Takes a message and shows it.
    pub fn show(&mut self, message: &BuildMessage) -> Outcome<()> {
        if self.style == Style::RawJson {
            let line = serde_json::to_string(message).unwrap_or_default();
            output::err(&format!("{line}\n"));
        }
        match message {
            BuildMessage::Planned(names) => {
                for (id, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
                    self.steps.insert(id, Step::new(name));
                }
            }
            BuildMessage::Started(id) => self.start(*id),
            BuildMessage::Output(id, _, text) => {
                let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
                self.write(*id, &String::from_utf8_lossy(&bytes));
            }
            BuildMessage::Done(id) => self.end(*id, End::Done, ""),
            BuildMessage::Cached(id) => self.end(*id, End::Cached, ""),
            BuildMessage::Failed(id, why) => self.end(*id, End::Failed, why),
            BuildMessage::Task(name, done) => self.task(name, *done),
            BuildMessage::Error { .. } | BuildMessage::Image(_) => {}
        }
        Ok(())
    }

    /// Draws the view anew.
    pub fn tick(&mut self) -> Outcome<()> {
        if self.style == Style::Tty {
            self.draw(false);
        }
        Ok(())
    }

    /// The end of a build that went well.
    pub fn finish(&mut self, id: &str, tags: &[String]) -> Outcome<()> {
        match self.style {
            Style::Tty => self.draw(true),
            Style::Plain => {
                output::err(&format!("writing image {id}\n"));
                tags.iter().for_each(|tag| output::err(&format!("naming to {tag}\n")));
            }
            Style::Quiet => output::out(&format!("{id}\n"))?,
            Style::RawJson => {}
        }
        Ok(())
    }

    /// The end of a build that failed: the output of the step that failed, and the lines of the Dockerfile.
    pub fn fail(&mut self, excerpt: Option<&str>) -> Outcome<()> {
        if self.style == Style::Tty {
            self.draw(true);
        }
        if matches!(self.style, Style::Tty | Style::Quiet) {
            for step in self.steps.values().filter(|step| step.end == End::Failed && !step.all.is_empty()) {
                output::err(&format!("------\n > {}:\n{}\n------\n", step.name, step.all.join("\n")));
            }
        }
        if let Some(excerpt) = excerpt {
            output::err(&format!("{excerpt}\n"));
        }
        Ok(())
    }

    fn start(&mut self, id: usize) {
        self.counted += 1;
        let (number, style) = (self.counted, self.style);
        let Some(step) = self.steps.get_mut(&id) else { return };
        step.begun = Some(Instant::now());
        step.number = number;
        self.order.push(id);
        if style == Style::Plain {
            output::err(&format!("#{number} {}\n", step.name));
        }
    }

    fn write(&mut self, id: usize, text: &str) {
        const MOST: usize = 200;
        let style = self.style;
        let Some(step) = self.steps.get_mut(&id) else { return };
        step.partial.push_str(text);
        while let Some(at) = step.partial.find('\n') {
            let line: String = step.partial.drain(..=at).collect();
            let line = line.trim_end_matches(['\n', '\r']);
            let line = line.rsplit('\r').next().unwrap_or(line).to_owned();
            let seconds = step.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
            if style == Style::Plain {
                output::err(&format!("#{} {seconds:.3} {line}\n", step.number));
            }
            step.tail.push_back(line.clone());
            if step.tail.len() > FOLD {
                step.tail.pop_front();
            }
            step.all.push(format!("{seconds:.3} {line}"));
            if step.all.len() > MOST {
                step.all.remove(0);
            }
        }
    }

    fn end(&mut self, id: usize, end: End, why: &str) {
        self.write_rest(id);
        let style = self.style;
        let Some(step) = self.steps.get_mut(&id) else { return };
        let seconds = step.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        step.seconds = Some(seconds);
        step.end = end;
        if style == Style::Plain {
            let number = step.number;
            output::err(&match end {
                End::Cached => format!("#{number} CACHED\n\n"),
                End::Failed => format!("#{number} ERROR: {why}\n\n"),
                _ => format!("#{number} DONE {seconds:.1}s\n\n"),
            });
        }
    }

    fn write_rest(&mut self, id: usize) {
        let rest = self.steps.get(&id).is_some_and(|step| !step.partial.is_empty());
        if rest {
            self.write(id, "\n");
        }
    }

    fn task(&mut self, name: &str, done: bool) {
        if done {
            if let Some((_, begun, seconds)) = self.tasks.iter_mut().rev().find(|(own, ..)| own == name) {
                *seconds = Some(begun.elapsed().as_secs_f64());
                let seconds = begun.elapsed().as_secs_f64();
                if self.style == Style::Plain {
                    output::err(&format!("#{} DONE {seconds:.1}s\n\n", self.counted));
                }
            }
            return;
        }
        self.counted += 1;
        if self.style == Style::Plain {
            output::err(&format!("#{} [internal] {name}\n", self.counted));
        }
        self.tasks.push((name.to_owned(), Instant::now(), None));
    }

    /// What has ended is printed once and stays; what runs is drawn over the next time.
    fn draw(&mut self, last: bool) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A\x1b[J", self.drawn));
        }
        let width = crate::env::columns().unwrap_or(100);
        let clip = |line: &str| line.chars().take(width.saturating_sub(1)).collect::<String>();
        let total = self.steps.len();
        let ended = self.steps.values().filter(|step| step.end != End::Open).count();
        let mut live = Vec::new();
        for (name, begun, seconds) in &mut self.tasks {
            match seconds {
                Some(done) if *done >= 0.0 => {
                    text.push_str(&clip(&format!(" => {name}  {done:.1}s")));
                    text.push('\n');
                    // Printed, so it is not printed again.
                    *seconds = Some(-1.0);
                }
                Some(_) => {}
                None => live.push(clip(&format!(" => {name}  {:.1}s", begun.elapsed().as_secs_f64()))),
            }
        }
        for id in self.order.clone() {
            let Some(step) = self.steps.get_mut(&id) else { continue };
            match (step.end, step.seconds) {
                (End::Open, _) => {
                    let seconds = step.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
                    live.push(clip(&format!(" => {}  {seconds:.1}s", step.name)));
                    live.extend(step.tail.iter().map(|line| clip(&format!(" => => # {line}"))));
                }
                (end, seconds) if !step.printed => {
                    step.printed = true;
                    let seconds = seconds.unwrap_or(0.0);
                    let line = match end {
                        End::Cached => format!("\x1b[34m => CACHED {}\x1b[0m", clip(&step.name)),
                        End::Failed => format!("\x1b[31m => ERROR {}  {seconds:.1}s\x1b[0m", clip(&step.name)),
                        _ => format!(" => {}  {seconds:.1}s", clip(&step.name)),
                    };
                    text.push_str(&line);
                    text.push('\n');
                }
                _ => {}
            }
        }
        live.push(format!("[+] {:.1}s ({ended}/{total})", self.begun.elapsed().as_secs_f64()));
        live.iter().for_each(|line| {
            text.push_str(line);
            text.push('\n');
        });
        self.drawn = if last { 0 } else { live.len() };
        output::err(&text);
    }
}

impl Step {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            number: 0,
            begun: None,
            seconds: None,
            end: End::Open,
            tail: VecDeque::new(),
            partial: String::new(),
            all: Vec::new(),
            printed: false,
        }
    }
}
