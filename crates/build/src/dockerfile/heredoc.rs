//! Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`.

/// A here-document of `RUN`, `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, which is also the name of the file that it becomes.
    pub name: String,
    /// The lines as they were written.
    pub content: String,
    /// Whether leading tabs go (`<<-`).
    pub chomp: bool,
    /// Whether variables are expanded: not if any part of the name is quoted.
    pub expand: bool,
    /// The descriptor's number; 0 where none was written.
    pub descriptor: u32,
}

impl Heredoc {
    /// The content, without leading tabs where they were to go.
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }

    /// Reads one word of a line; `None` where it starts no here-document.
    pub fn start(word: &str, escape: char) -> Option<Self> {
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = word.split_at(digits);
        let rest = rest.strip_prefix("<<")?;
        let (chomp, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        if rest.is_empty() || rest.contains('<') {
            return None;
        }
        let name = unquote(rest, escape)?;
        let descriptor = if number.is_empty() { 0 } else { number.parse().ok()? };
        let expand = !rest.contains(['"', '\'']) && !rest.contains(escape);
        (!name.is_empty()).then_some(Self { name, content: String::new(), chomp, expand, descriptor })
    }

    /// Whether a line ends the document.
    pub fn ends_with(&self, line: &str) -> bool {
        let line = if self.chomp { line.trim_start_matches('\t') } else { line };
        line == self.name
    }
}

/// Takes quotes and escapes away; `None` where a quote stays open.
fn unquote(text: &str, escape: char) -> Option<String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => loop {
                match chars.next()? {
                    end if end == c => break,
                    inner => out.push(inner),
                }
            },
            c if c == escape => out.push(chars.next()?),
            c => out.push(c),
        }
    }
    Some(out)
}

/// The words of a line with all quotes and escapes left in place.
pub(super) fn raw_words(line: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
