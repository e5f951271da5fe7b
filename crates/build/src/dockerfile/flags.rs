//! `--name=value` at the beginning of an instruction.

/// The flags of one instruction, taken one by one.
#[derive(Debug, Default)]
pub(super) struct Flags {
    left: Vec<(String, Option<String>)>,
}

impl Flags {
    /// Takes the flags off a line; the rest of it is returned.
    pub(super) fn split(line: &str, escape: char) -> Result<(Self, &str), String> {
        let mut flags = Vec::new();
        let mut rest = line.trim_start();
        while rest.starts_with("--") {
            let (word, after) = first_word(rest, escape);
            rest = after.trim_start();
            if word == "--" {
                break;
            }
            let word = word.trim_start_matches('-').to_owned();
            flags.push(match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            });
        }
        Ok((Self { left: flags }, rest))
    }

    /// The value of a flag that may be given once.
    pub(super) fn one(&mut self, name: &str) -> Result<Option<String>, String> {
        let mut values = self.many(name)?;
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(format!("duplicate flag specified: --{name}")),
        }
    }

    /// The values of a flag that may be given often.
    pub(super) fn many(&mut self, name: &str) -> Result<Vec<String>, String> {
        self.take(name).map(|value| value.ok_or_else(|| format!("missing a value on flag: --{name}"))).collect()
    }

    /// A flag that is there or not, or says `true` or `false`.
    pub(super) fn switch(&mut self, name: &str) -> Result<Option<bool>, String> {
        let values: Vec<_> = self.take(name).collect();
        match values.as_slice() {
            [] => Ok(None),
            [None] => Ok(Some(true)),
            [Some(value)] => match value.to_ascii_lowercase().as_str() {
                "true" => Ok(Some(true)),
                "false" => Ok(Some(false)),
                _ => Err(format!("expecting boolean value for flag --{name}, not: {value}")),
            },
            _ => Err(format!("duplicate flag specified: --{name}")),
        }
    }

    fn take(&mut self, name: &str) -> impl Iterator<Item = Option<String>> + use<> {
        let (mine, left) = std::mem::take(&mut self.left).into_iter().partition(|(have, _)| have == name);
        self.left = left;
        let mine: Vec<(String, Option<String>)> = mine;
        mine.into_iter().map(|(_, value)| value)
    }

    /// Nothing may be left; `known` are for a suggestion.
    pub(super) fn end(self, known: &[&str]) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some((name, _)) => Err(match nearest(name, known) {
                Some(near) => format!("unknown flag: --{name} (did you mean {near}?)"),
                None => format!("unknown flag: --{name}"),
            }),
        }
    }
}

/// The first word with its quotes and escapes taken away, and what follows it.
fn first_word(line: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, &line[at..]),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
            _ => word.push(c),
        }
    }
    (word, "")
}

/// The word that was probably meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    let distances = known.iter().map(|known| (distance(&word, &known.to_ascii_lowercase()), *known));
    distances
        .filter(|(distance, known)| *distance <= 2.min(known.len().saturating_sub(1)))
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
