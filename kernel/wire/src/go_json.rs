//! What Go's JSON scanner says about malformed text: clients and users know these words.
//!
//! Only text that serde_json has refused comes here. Source: `encoding/json/scanner.go`.

/// The first thing that Go would complain about; `None` if it would accept the text.
pub(crate) fn complaint(bytes: &[u8]) -> Option<String> {
    let mut scanner = Scanner { bytes, at: 0 };
    match scanner.document() {
        Ok(()) => None,
        Err(Complaint::End) => Some("unexpected end of JSON input".into()),
        Err(Complaint::Character(context)) => {
            Some(format!("invalid character {} {context}", quoted(bytes[scanner.at])))
        }
    }
}

enum Complaint {
    End,
    /// About the byte at the scanner's place.
    Character(String),
}

/// What is open around the scanner.
enum Open {
    Object,
    Array,
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Outcome = Result<(), Complaint>;

impl Scanner<'_> {
    fn peek(&self) -> Result<u8, Complaint> {
        self.bytes.get(self.at).copied().ok_or(Complaint::End)
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn wrong(context: &str) -> Outcome {
        Err(Complaint::Character(context.to_owned()))
    }

    /// Walks with a stack of its own, since nesting may be as deep as the text is long.
    fn document(&mut self) -> Outcome {
        let mut open = Vec::new();
        self.skip_space();
        loop {
            // At the beginning of a value.
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    self.skip_space();
                    if self.peek()? == b'}' {
                        self.at += 1;
                    } else {
                        open.push(Open::Object);
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    self.skip_space();
                    if self.peek()? == b']' {
                        self.at += 1;
                    } else {
                        open.push(Open::Array);
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // At the end of a value.
            loop {
                self.skip_space();
                match open.last() {
                    None => {
                        return match self.bytes.get(self.at) {
                            None => Ok(()),
                            Some(_) => Self::wrong("after top-level value"),
                        };
                    }
                    Some(Open::Object) => match self.peek()? {
                        b',' => {
                            self.at += 1;
                            self.skip_space();
                            self.key()?;
                            break;
                        }
                        b'}' => {
                            self.at += 1;
                            open.pop();
                        }
                        _ => return Self::wrong("after object key:value pair"),
                    },
                    Some(Open::Array) => match self.peek()? {
                        b',' => {
                            self.at += 1;
                            self.skip_space();
                            break;
                        }
                        b']' => {
                            self.at += 1;
                            open.pop();
                        }
                        _ => return Self::wrong("after array element"),
                    },
                }
            }
        }
    }

    /// A key with its colon, up to the beginning of the value.
    fn key(&mut self) -> Outcome {
        if self.peek()? != b'"' {
            return Self::wrong("looking for beginning of object key string");
        }
        self.string()?;
        self.skip_space();
        if self.peek()? != b':' {
            return Self::wrong("after object key");
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn scalar(&mut self) -> Outcome {
        match self.peek()? {
            b'"' => self.string(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            b'-' | b'0'..=b'9' => self.number(),
            _ => Self::wrong("looking for beginning of value"),
        }
    }

    fn string(&mut self) -> Outcome {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => self.at += 1,
                        b'u' => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.peek()?.is_ascii_hexdigit() {
                                    return Self::wrong("in \\u hexadecimal character escape");
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Self::wrong("in string escape code"),
                    }
                }
                0..0x20 => return Self::wrong("in string literal"),
                _ => self.at += 1,
            }
        }
    }

    fn literal(&mut self, word: &str) -> Outcome {
        for expected in word.bytes() {
            if self.peek()? != expected {
                return Self::wrong(&format!("in literal {word} (expecting {})", quoted(expected)));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Outcome {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            _ => return Self::wrong("in numeric literal"),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !self.peek()?.is_ascii_digit() {
                return Self::wrong("after decimal point in numeric literal");
            }
            self.digits();
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            if !self.peek()?.is_ascii_digit() {
                return Self::wrong("in exponent of numeric literal");
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
    }
}

/// A byte as Go quotes it.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\\' => r"'\\'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        0x07 => r"'\a'".into(),
        0x08 => r"'\b'".into(),
        0x0b => r"'\v'".into(),
        0x0c => r"'\f'".into(),
        0..0x20 | 0x7f => format!("'\\x{byte:02x}'"),
        0x80..0xa0 | 0xad => format!("'\\u{byte:04x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_gos() {
        for (text, words) in [
            (&b""[..], Some("unexpected end of JSON input")),
            (b"  ", Some("unexpected end of JSON input")),
            (b"[1, 2", Some("unexpected end of JSON input")),
            (b"{\"a\"", Some("unexpected end of JSON input")),
            (b"\"abc", Some("unexpected end of JSON input")),
            (b"tru", Some("unexpected end of JSON input")),
            (b"trux", Some("invalid character 'x' in literal true (expecting 'e')")),
            (b"{a: 1}", Some("invalid character 'a' looking for beginning of object key string")),
            (b"{\"a\" 1}", Some("invalid character '1' after object key")),
            (b"{\"a\": 1 \"b\": 2}", Some("invalid character '\"' after object key:value pair")),
            (b"[1 2]", Some("invalid character '2' after array element")),
            (b"[1, ]", Some("invalid character ']' looking for beginning of value")),
            (b"{} x", Some("invalid character 'x' after top-level value")),
            (b"\"a\nb\"", Some("invalid character '\\n' in string literal")),
            (b"\"\\x\"", Some("invalid character 'x' in string escape code")),
            (b"\"\\u12g4\"", Some("invalid character 'g' in \\u hexadecimal character escape")),
            (b"-x", Some("invalid character 'x' in numeric literal")),
            (b"1.x", Some("invalid character 'x' after decimal point in numeric literal")),
            (b"1ex", Some("invalid character 'x' in exponent of numeric literal")),
            (b"01", Some("invalid character '1' after top-level value")),
            (b"'a'", Some("invalid character '\\'' looking for beginning of value")),
            (b"\xef\xbb\xbf{}", Some("invalid character 'ï' looking for beginning of value")),
            (b"\x00", Some("invalid character '\\x00' looking for beginning of value")),
            (b"{\"a\": [1, {}, [], \"\\u00e4\"]}", None),
        ] {
            assert_eq!(complaint(text).as_deref(), words, "{}", String::from_utf8_lossy(text));
        }
    }
}
