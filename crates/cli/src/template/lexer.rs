//! Cuts a template into text and the tokens of its actions.

use super::TemplateError;

/// A token inside `{{` and `}}`, or the text between actions.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// Text between actions.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.Name`, without the dot; `joined` when no space stands before it, so that it belongs to what precedes.
    Field { name: String, joined: bool },
    /// `.`
    Dot,
    /// `$name`, with the dollar sign.
    Variable(String),
    /// A word: function or keyword.
    Word(String),
    /// A quoted or raw string, or a character's code.
    Quoted(String),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `|`
    Pipe,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// A token and the byte offset of its first character.
#[derive(Debug, Clone)]
pub struct Spanned {
    /// The token.
    pub token: Token,
    /// Byte offset in the template.
    pub at: usize,
}

/// Cuts the whole template.
pub fn tokens(source: &str) -> Result<Vec<Spanned>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, out: Vec::new() };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    out: Vec<Spanned>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim = false;
        while self.at < self.source.len() {
            let rest = self.rest();
            let open = rest.find("{{");
            let text = &rest[..open.unwrap_or(rest.len())];
            let trim_right = open.is_some_and(|o| starts_trim(&rest[o + 2..]));
            self.text(text, trim, trim_right);
            let Some(open) = open else { break };
            self.at += open + 2 + if trim_right { 2 } else { 0 };
            trim = self.action()?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str, trim_left: bool, trim_right: bool) {
        let text = if trim_left { text.trim_start_matches(SPACE) } else { text };
        let text = if trim_right { text.trim_end_matches(SPACE) } else { text };
        if !text.is_empty() {
            self.push(Token::Text(text.to_owned()), self.at);
        }
    }

    /// Reads up to and with `}}`; says whether the text that follows is to be trimmed.
    fn action(&mut self) -> Result<bool, TemplateError> {
        if self.rest().starts_with("/*") {
            return self.comment();
        }
        self.push(Token::Open, self.at);
        loop {
            let spaces = self.rest().len() - self.rest().trim_start_matches(SPACE).len();
            if spaces > 0 && self.rest()[spaces..].starts_with("-}}") {
                self.at += spaces;
                self.push(Token::Close, self.at);
                self.at += 3;
                return Ok(true);
            }
            self.at += spaces;
            if self.rest().starts_with("}}") {
                self.push(Token::Close, self.at);
                self.at += 2;
                return Ok(false);
            }
            self.token(spaces > 0)?;
        }
    }

    fn comment(&mut self) -> Result<bool, TemplateError> {
        let end = self.rest().find("*/").ok_or_else(|| self.error("unclosed comment"))?;
        self.at += end + 2;
        let trims = starts_space(self.rest()) && self.rest().trim_start_matches(SPACE).starts_with("-}}");
        if trims {
            self.at = self.source.len() - self.rest().trim_start_matches(SPACE).len() + 1;
        }
        if !self.rest().starts_with("}}") {
            return Err(self.error("comment ends before closing delimiter"));
        }
        self.at += 2;
        Ok(trims)
    }

    fn token(&mut self, after_space: bool) -> Result<(), TemplateError> {
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return Err(self.error("unclosed action")) };
        let token = match first {
            '|' => self.single(Token::Pipe),
            '(' => self.single(Token::LeftParen),
            ')' => self.single(Token::RightParen),
            ',' => self.single(Token::Comma),
            '=' => self.single(Token::Assign),
            ':' if self.rest().starts_with(":=") => {
                self.at += 2;
                Token::Declare
            }
            ':' => return Err(self.error("expected :=")),
            '"' => self.quoted('"')?,
            '\'' => self.quoted('\'')?,
            '`' => self.raw()?,
            '$' => {
                self.at += 1;
                let name = self.word();
                Token::Variable(format!("${name}"))
            }
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                match self.word() {
                    "" => Token::Dot,
                    name => Token::Field { name: name.to_owned(), joined: !after_space },
                }
            }
            c if c.is_ascii_digit() || matches!(c, '.' | '+' | '-') => self.number()?,
            c if is_word(c) => Token::Word(self.word().to_owned()),
            c => return Err(self.error(&format!("unexpected {c:?} in command"))),
        };
        self.push(token, start);
        Ok(())
    }

    fn single(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn raw(&mut self) -> Result<Token, TemplateError> {
        let body = &self.rest()[1..];
        let end = body.find('`').ok_or_else(|| self.error("unterminated raw quoted string"))?;
        self.at += end + 2;
        Ok(Token::Quoted(body[..end].to_owned()))
    }

    /// A double-quoted string, or a character constant, which is its code.
    fn quoted(&mut self, quote: char) -> Result<Token, TemplateError> {
        let what = if quote == '"' { "unterminated quoted string" } else { "unterminated character constant" };
        let mut text = String::new();
        let mut chars = self.rest()[1..].char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '\n' => break,
                '\\' => {
                    let (_, escaped) = chars.next().ok_or_else(|| self.error(what))?;
                    text.push(self.escape(escaped, &mut chars)?);
                }
                c if c == quote => {
                    self.at += i + 2;
                    let code = text.chars().next().map_or(0, |c| i64::from(u32::from(c)));
                    return Ok(if quote == '"' { Token::Quoted(text) } else { Token::Int(code) });
                }
                c => text.push(c),
            }
        }
        Err(self.error(what))
    }

    fn escape(&self, c: char, chars: &mut std::str::CharIndices<'_>) -> Result<char, TemplateError> {
        let digits = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'a' => return Ok('\x07'),
            'b' => return Ok('\x08'),
            'f' => return Ok('\x0c'),
            'v' => return Ok('\x0b'),
            '\\' | '"' | '\'' => return Ok(c),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(self.error("invalid syntax")),
        };
        let text: String = chars.by_ref().take(digits).map(|(_, c)| c).collect();
        u32::from_str_radix(&text, 16).ok().and_then(char::from_u32).ok_or_else(|| self.error("invalid syntax"))
    }

    fn number(&mut self) -> Result<Token, TemplateError> {
        let rest = self.rest();
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        let sign = usize::from(rest.starts_with(['+', '-']));
        let mut end = sign + rest[sign..].find(|c| !part(c)).unwrap_or(rest.len() - sign);
        if rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) && !rest[sign..].starts_with("0x") {
            end += 1;
            end += rest[end..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - end);
        }
        let text = &rest[..end];
        let plain = text.replace('_', "");
        let token = parse_int(&plain).map(Token::Int).or_else(|| plain.parse().ok().map(Token::Float));
        let token = token.ok_or_else(|| self.error(&format!("bad number syntax: {text:?}")))?;
        self.at += end;
        Ok(token)
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, token: Token, at: usize) {
        self.out.push(Spanned { token, at });
    }

    fn error(&self, what: &str) -> TemplateError {
        TemplateError::parse(self.source, self.at, what)
    }
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn starts_space(text: &str) -> bool {
    text.starts_with(SPACE)
}

fn starts_trim(after_open: &str) -> bool {
    after_open.strip_prefix('-').is_some_and(starts_space)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let value = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => i64::from_str_radix(&digits[2..], 16).ok()?,
        Some("0o") => i64::from_str_radix(&digits[2..], 8).ok()?,
        Some("0b") => i64::from_str_radix(&digits[2..], 2).ok()?,
        _ if digits.starts_with('0') && digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            i64::from_str_radix(digits, 8).ok()?
        }
        _ if digits.starts_with(['+', '-']) => return None,
        _ => digits.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}
