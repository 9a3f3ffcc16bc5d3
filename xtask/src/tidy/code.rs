//! The code of a Rust file without comments and the text of strings, line for line, and where its tests begin.
//!
//! Not a Rust parser: it knows comments, strings, raw strings and characters, which is what keeps a rule from
//! stumbling over a word in a sentence.

/// A file's lines, in which only code is left.
pub(super) struct Code {
    lines: Vec<String>,
    /// The index of the first line of the tests at the end of the file; all of a test file is tests.
    tests: usize,
}

impl Code {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let blanked = blank(text);
        let lines: Vec<String> = blanked.lines().map(str::to_owned).collect();
        let tests = if is_test_file(path) {
            0
        } else {
            lines
                .iter()
                .position(|line| line.starts_with("#[cfg(test)]"))
                .unwrap_or(lines.len())
        };
        Self { lines, tests }
    }

    /// Every line with its number, counted from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines
            .iter()
            .enumerate()
            .map(|(index, line)| (index + 1, line.as_str()))
    }

    /// The same without tests.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().take(self.tests)
    }
}

/// Whether `line` has `word` as a word of its own; `word` may end in punctuation, like `print!`.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at]
            .chars()
            .next_back()
            .is_none_or(|character| !is_part(character));
        let after = line[at + word.len()..].chars().next();
        before && (!word.ends_with(is_part) || after.is_none_or(|character| !is_part(character)))
    })
}

fn is_test_file(path: &str) -> bool {
    let ends = ["/tests.rs", "_tests.rs", "/test_support.rs"];
    ends.iter().any(|end| path.ends_with(end)) || path.contains("/tests/")
}

/// Replaces comments and the insides of literals by spaces, keeping every line break.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = match literal_or_comment(rest, code.chars().next_back()) {
            Some(length) => {
                let blanks = rest[..length]
                    .chars()
                    .map(|c| if c == '\n' { '\n' } else { ' ' });
                code.extend(blanks);
                length
            }
            None => {
                let character = rest.chars().next().expect("the rest is not empty");
                code.push(character);
                character.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    code
}

/// The length of the comment or literal that `text` begins with.
fn literal_or_comment(text: &str, before: Option<char>) -> Option<usize> {
    let until = |end: &str, from: usize| {
        text[from..]
            .find(end)
            .map_or(text.len(), |at| from + at + end.len())
    };
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    if text.starts_with('"') {
        return Some(end_of_string(text));
    }
    let is_word = before.is_some_and(|character| character.is_alphanumeric() || character == '_');
    if text.starts_with('r') && (!is_word || before == Some('b')) {
        let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
        if text[1 + hashes..].starts_with('"') {
            return Some(until(&format!("\"{}", "#".repeat(hashes)), hashes + 2));
        }
    }
    if text.starts_with('\'') {
        // A character, not a lifetime: closed after one character or an escape.
        let mut characters = text.char_indices().skip(1);
        let (_, first) = characters.next()?;
        if first == '\\' {
            return Some(until("'", 3.min(text.len())));
        }
        let (at, second) = characters.next()?;
        return (second == '\'').then_some(at + 1);
    }
    None
}

fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{Code, blank, has_word};

    fn check(text: &str, wanted: &str) {
        let squeezed = blank(text).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, wanted, "{text}");
    }

    /// Nothing but code is left, and what merely looks like a comment or a string is code.
    #[test]
    fn comments_and_literals_are_blanked() {
        check("a // b\nc", "a c");
        check("/// aya\nfn f() {}", "fn f() {}");
        check("a /* b\n c */ d", "a d");
        check(r#"f("aya \" // x", y)"#, "f( , y)");
        check("f(r#\"a \" b\"#, y)", "f( , y)");
        check("f(br\"x\", y)", "f(b , y)");
        check("if c == '\"' { d }", "if c == { d }");
        check(r"if c == '\'' { d }", "if c == { d }");
        check(
            "fn f<'a>(x: &'a str) -> &'a str",
            "fn f<'a>(x: &'a str) -> &'a str",
        );
        check("for r in x", "for r in x");
    }

    /// Line numbers stay right behind what was blanked.
    #[test]
    fn lines_keep_their_numbers() {
        let code = Code::new("src/a.rs", "/* 1\n2 */\nlet s = \"\n4\";\nunsafe {}");
        let found = code.lines().find(|(_, line)| has_word(line, "unsafe"));
        assert_eq!(found.map(|(number, _)| number), Some(5));
    }

    /// Tests at the end of a file and files of tests do not count as shipped.
    #[test]
    fn tests_are_not_shipped() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {}\n";
        assert_eq!(Code::new("src/a.rs", text).shipped().count(), 2);
        assert_eq!(Code::new("src/a/tests.rs", text).shipped().count(), 0);
        assert_eq!(
            Code::new("src/a/test_support.rs", text).shipped().count(),
            0
        );
        assert_eq!(Code::new("src/a/tests/cases.rs", text).shipped().count(), 0);
    }

    /// A word inside a longer name is not that word.
    #[test]
    fn words_are_whole() {
        assert!(has_word("use aya::Ebpf", "aya"));
        assert!(!has_word("use ayay::Ebpf", "aya"));
        assert!(!has_word("my_aya", "aya"));
        assert!(has_word("print!(x)", "print!"));
        assert!(!has_word("eprint!(x)", "print!"));
    }
}
