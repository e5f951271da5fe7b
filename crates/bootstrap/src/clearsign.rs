//! The frame of a cleartext signed message (RFC 9580, section 7), read strictly: only what is signed gets out.

use wharf_types::{Error, Result};

/// A message taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Clearsigned {
    /// The signed text with `\n` line ends; hand no other text on.
    pub text: String,
    /// The armored signature block.
    pub signature: String,
}

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

impl Clearsigned {
    /// Takes a message apart. Anything outside the frame is an error, so that nobody can smuggle unsigned text along.
    pub fn parse(message: &str) -> Result<Self> {
        let mut lines = message.lines().map(|line| line.trim_end_matches([' ', '\t', '\r']));
        if lines.next() != Some(BEGIN) {
            return Err(broken("it does not begin with a signed message"));
        }
        skip_headers(&mut lines)?;
        let text = read_text(&mut lines)?;
        let signature = read_signature(&mut lines)?;
        match lines.find(|line| !line.is_empty()) {
            Some(_) => Err(broken("something follows the signature")),
            None => Ok(Self { text, signature }),
        }
    }

    /// The bytes that the signature covers: lines without trailing blanks, parted by CR LF, none after the last.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let body = self.text.strip_suffix('\n').unwrap_or(&self.text);
        body.replace('\n', "\r\n").into_bytes()
    }
}

/// Only `Hash` may stand in the header; what it says is not trusted, the signature itself names its algorithm.
fn skip_headers<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<()> {
    for line in lines {
        match line {
            "" => return Ok(()),
            line if line.starts_with("Hash: ") => {}
            _ => return Err(broken("its header has an unknown line")),
        }
    }
    Err(broken("it ends within the header"))
}

fn read_text<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String> {
    let mut text = String::new();
    for line in lines {
        let plain = match line.strip_prefix('-') {
            None => line,
            Some(_) if line == SIGNATURE => return Ok(text),
            Some(escaped) => escaped.strip_prefix(' ').ok_or_else(|| broken("a line begins with an unescaped dash"))?,
        };
        text.push_str(plain);
        text.push('\n');
    }
    Err(broken("it has no signature"))
}

fn read_signature<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<String> {
    let mut block = format!("{SIGNATURE}\n");
    for line in lines {
        block.push_str(line);
        block.push('\n');
        match line {
            END => return Ok(block),
            line if line.starts_with('-') => break,
            _ => {}
        }
    }
    Err(broken("its signature is cut off"))
}

fn broken(reason: &str) -> Error {
    Error::corrupt(format!("the signed Release file is malformed: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> String {
        format!("{BEGIN}\nHash: SHA256\n\n{text}\n{SIGNATURE}\n\nabc=\n{END}\n")
    }

    #[test]
    fn takes_a_message_apart() {
        let parsed = Clearsigned::parse(&message("Suite: x  \r\n- -dash\n\nlast")).unwrap();
        assert_eq!(parsed.text, "Suite: x\n-dash\n\nlast\n");
        assert_eq!(parsed.signed_bytes(), b"Suite: x\r\n-dash\r\n\r\nlast");
        assert_eq!(parsed.signature, format!("{SIGNATURE}\n\nabc=\n{END}\n"));
    }

    #[test]
    fn refuses_everything_outside_the_frame() {
        let good = message("Suite: x");
        let cases = [
            format!("Suite: evil\n{good}"),
            format!("\n{good}"),
            format!("{good}Suite: evil\n"),
            good.replace("Hash: SHA256\n", "Hash: SHA256\nSuite: evil\n"),
            good.replace(END, "-----END PGP"),
            good.replace("Suite: x", "-Suite: x"),
            good[..good.len() - END.len() - 2].to_owned(),
            BEGIN.to_owned(),
            String::new(),
        ];
        for case in cases {
            assert!(Clearsigned::parse(&case).is_err(), "{case}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(-----BEGIN PGP SIGNED MESSAGE-----|-----BEGIN PGP SIGNATURE-----|\n|- |-|[a-z: ]){0,12}") {
            let _ = Clearsigned::parse(&text);
        }

        #[test]
        fn gives_back_the_text(lines in proptest::collection::vec("[a-zA-Z:-][a-z :-]{0,10}[a-z]", 1..6)) {
            let escaped: Vec<_> = lines.iter().map(|line| if line.starts_with('-') { format!("- {line}") } else { line.clone() }).collect();
            let parsed = Clearsigned::parse(&message(&escaped.join("\n"))).unwrap();
            prop_assert_eq!(parsed.text, lines.join("\n") + "\n");
        }
    }
}
