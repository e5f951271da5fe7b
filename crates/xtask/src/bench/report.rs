//! Tables: what was measured beside what was promised.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stats::Samples;

/// What SPECIFICATION.md says of a row.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// wharf's median is at most this part of the other's.
    Part(&'static str, f64),
    /// wharf's median is at most this many times the other's.
    Times(&'static str, f64),
    /// wharf's median is at least this many times the other's.
    Rate(&'static str, f64),
    /// wharf's median is at most this.
    Limit(f64),
}

impl Promise {
    fn words(self) -> String {
        match self {
            Self::Part(peer, part) => format!("≤ 1/{part} of {peer}"),
            Self::Times(peer, times) => format!("≤ {times} × {peer}"),
            Self::Rate(peer, times) => format!("≥ {times} × {peer}"),
            Self::Limit(value) => format!("≤ {value}"),
        }
    }

    /// Whether it is kept; `None` where what it compares with was not measured.
    fn kept(self, row: &Row) -> Option<bool> {
        let own = row.median("wharf")?;
        Some(match self {
            Self::Part(peer, part) => own <= row.median(peer)? / part,
            Self::Times(peer, times) => own <= row.median(peer)? * times,
            Self::Rate(peer, times) => own >= row.median(peer)? * times,
            Self::Limit(value) => own <= value,
        })
    }
}

/// One thing that was measured, by whom.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What.
    pub what: String,
    /// In which unit.
    pub unit: &'static str,
    /// The values, by engine; `floor` is the kernel alone.
    pub samples: BTreeMap<&'static str, Samples>,
    /// What was promised.
    pub promise: Option<Promise>,
}

impl Row {
    /// A row without values.
    pub fn new(what: impl Into<String>, unit: &'static str, promise: Option<Promise>) -> Self {
        Self { what: what.into(), unit, samples: BTreeMap::new(), promise }
    }

    /// Adds one engine's values.
    pub fn add(&mut self, engine: &'static str, values: Vec<f64>) {
        if !values.is_empty() {
            self.samples.insert(engine, Samples::new(values));
        }
    }

    fn median(&self, engine: &str) -> Option<f64> {
        self.samples.get(engine).filter(|samples| !samples.is_empty()).map(Samples::median)
    }

    fn cell(&self, engine: &str) -> String {
        let Some(samples) = self.samples.get(engine) else { return "–".to_owned() };
        let values = format!("{} / {}", number(samples.median()), number(samples.minimum()));
        match self.median("wharf").filter(|_| engine != "wharf") {
            Some(own) if own > 0.0 => format!("{values} ({}×)", number(samples.median() / own)),
            _ => values,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.promise.and_then(|promise| promise.kept(self)) {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None if self.promise.is_some() => "not compared",
            None => "",
        }
    }
}

/// All rows of a run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine, the kernel, the versions.
    pub setting: BTreeMap<String, String>,
    /// What was measured.
    pub rows: Vec<Row>,
}

/// The column of Debian's `docker-registry`, which no engine is.
pub const DEBIAN: &str = "docker-registry";
const ENGINES: [&str; 4] = ["wharf", "floor", "dockerd", "podman"];

impl Report {
    /// As a table for SPECIFICATION.md: median / minimum, and how many times wharf's median the other's is.
    pub fn markdown(&self) -> String {
        let is_there = |row: &Row| row.samples.contains_key(DEBIAN);
        let columns: Vec<&str> = ENGINES.into_iter().chain(self.rows.iter().any(is_there).then_some(DEBIAN)).collect();
        let mut text = format!("| median / minimum (× wharf) | {} | promise | |\n", columns.join(" | "));
        text.push_str(&format!("|{}\n", "---|".repeat(columns.len() + 3)));
        for row in &self.rows {
            let cells: Vec<String> = columns.iter().map(|engine| row.cell(engine)).collect();
            let promise = row.promise.map(Promise::words).unwrap_or_default();
            let cells = cells.join(" | ");
            text.push_str(&format!("| {}, {} | {cells} | {promise} | {} |\n", row.what, row.unit, row.verdict()));
        }
        text
    }

    /// How many promises were broken.
    pub fn missed(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict() == "MISSED").count()
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    let digits = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_judged_by_medians() {
        let mut row = Row::new("run", "ms", Some(Promise::Part("dockerd", 12.0)));
        row.add("wharf", vec![30.0, 28.0, 35.0]);
        assert_eq!(row.verdict(), "not compared");
        row.add("dockerd", vec![480.0]);
        assert_eq!(row.verdict(), "ok");
        row.add("dockerd", vec![300.0]);
        assert_eq!(row.verdict(), "MISSED");
        assert_eq!(row.cell("dockerd"), "300 / 300 (10.0×)");
    }
}
