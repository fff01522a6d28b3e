//! The text of a configuration file: positions in it, and excerpts that never show a secret.
//!
//! A fault may lie on the line of a key, and may be the very reason why TOML cannot tell what is a key: a missing quote, a
//! missing `=`, a misspelt `psk`. So what may be shown is decided line by line, without TOML, and by what is known to be harmless:
//! the values of our own keys other than `psk` and `psk_next`. Everything else is shown as `***`.

use std::ops::Range;

use super::error::Excerpt;
use super::read::SECTIONS;

/// Keys whose value is a secret.
const SECRET: [&str; 2] = ["psk", "psk_next"];
/// What stands in place of what is hidden, whatever its length.
const MASK: &str = "***";
/// How much of a line is shown, in characters.
const WIDTH: usize = 120;

/// A text and, for each line, where it starts and how much of it may be shown.
pub(super) struct Source<'a> {
    text: &'a str,
    lines: Vec<Line>,
}

struct Line {
    start: usize,
    /// Length without the line's end.
    len: usize,
    /// How many of its bytes may be shown.
    visible: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        let mut mask = Mask::default();
        for raw in text.split_inclusive('\n') {
            let content = raw.strip_suffix('\n').unwrap_or(raw);
            let content = content.strip_suffix('\r').unwrap_or(content);
            lines.push(Line { start, len: content.len(), visible: mask.visible(content) });
            start += raw.len();
        }
        if text.is_empty() || text.ends_with('\n') {
            lines.push(Line { start, len: 0, visible: 0 });
        }
        Self { text, lines }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// The number of the line, from 1, that this byte lies on.
    pub(super) fn line_number(&self, offset: usize) -> usize {
        self.lines.partition_point(|line| line.start <= offset).max(1)
    }

    /// The line where this span begins, as it may be shown.
    pub(super) fn excerpt(&self, span: Range<usize>) -> Option<Excerpt> {
        let number = self.line_number(span.start);
        let line = self.lines.get(number - 1)?;
        let content = self.text.get(line.start..line.start + line.len)?;
        let from = floor(content, span.start.saturating_sub(line.start));
        let to = floor(content, span.end.saturating_sub(line.start)).max(from);
        let chars = |range: Range<usize>| content.get(range).map_or(0, |s| s.chars().count());

        let column = chars(0..from) + 1;
        let visible = content.get(..line.visible).unwrap_or_default();
        let hidden = line.visible < line.len;
        let mut shown: Vec<char> = visible.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mut underline = chars(0..from.min(line.visible))..chars(0..to.min(line.visible));
        if hidden {
            if to > line.visible || from == line.len {
                underline.end = shown.len() + MASK.len();
            }
            shown.extend(MASK.chars());
        }
        // A window that begins some way before the fault, for lines that no terminal shows whole.
        if shown.len() > WIDTH {
            let first = underline.start.saturating_sub(WIDTH / 3);
            let last = (first + WIDTH).min(shown.len());
            shown = shown.get(first..last).map(<[char]>::to_vec).unwrap_or_default();
            underline = underline.start - first..underline.end.min(last).saturating_sub(first);
        }
        Some(Excerpt { line: number, column, text: shown.into_iter().collect(), underline })
    }
}

/// The last character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

/// Decides, line after line, what may be shown.
#[derive(Default)]
struct Mask {
    last: Last,
    /// The delimiter of a multi-line string that began as the value of something hidden.
    open: Option<&'static str>,
}

/// What the last thing with a value was: lines without a key of their own belong to it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Nothing,
    Harmless,
    Secret,
}

impl Mask {
    /// How many bytes of this line may be shown.
    fn visible(&mut self, line: &str) -> usize {
        if let Some(delimiter) = self.open {
            if line.contains(delimiter) {
                self.open = None;
            }
            return 0;
        }
        if let Some(name) = header(line)
            && (self.last != Last::Secret || SECTIONS.iter().any(|(section, _)| *section == name))
        {
            self.last = Last::Nothing;
            return secret_word(line).unwrap_or(line.len());
        }
        if let Some(at) = self.first_secret(line) {
            self.last = Last::Secret;
            let rest = line.get(at..).unwrap_or_default();
            self.open = ["\"\"\"", "'''"].into_iter().find(|d| rest.matches(d).count() % 2 == 1);
            return at;
        }
        line.len()
    }

    /// Where, on a line outside hidden strings, the first thing stands that is not known to be harmless.
    fn first_secret(&mut self, line: &str) -> Option<usize> {
        let word = secret_word(line);
        let before = line.get(..word.unwrap_or(line.len())).unwrap_or_default();
        let mut keyed = false;
        for (at, _) in before.match_indices('=') {
            let key = before.get(..at).unwrap_or_default().trim_end().trim_end_matches(['"', '\'']);
            let key = key.rsplit(|c: char| !is_word(c)).next().unwrap_or_default();
            keyed = true;
            self.last = Last::Harmless;
            if !harmless(key) {
                let spaces = line.get(at + 1..).unwrap_or_default();
                return Some(at + 1 + (spaces.len() - spaces.trim_start().len()));
            }
        }
        let text = line.trim();
        let first = text.split(|c: char| !is_word(c)).next().unwrap_or_default();
        let continues = match self.last {
            Last::Secret => false,
            Last::Nothing => text.starts_with('#') || harmless(first),
            Last::Harmless => {
                text.starts_with(['#', '"', '\'', '{', '[', ']', '}', ',']) || harmless(first) || matches!(first, "permit" | "deny")
            }
        };
        if word.is_some() || keyed || continues || text.is_empty() {
            return word;
        }
        Some(0)
    }
}

/// Where the value begins of the first thing on this line that calls itself a key: `psk = "..."`, but also `psk "..."`.
fn secret_word(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    lower.match_indices("psk").find_map(|(at, _)| {
        let word = lower.get(at..)?;
        let word = word.get(..word.find(|c| !is_word(c)).unwrap_or(word.len()))?;
        let end = at + word.len();
        let preceded = lower.get(..at)?.chars().next_back().is_some_and(is_word);
        if !preceded && matches!(word, "psk_file" | "psk_next_file") {
            return None;
        }
        let rest = line.get(end..)?;
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start();
        let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
        Some(line.len() - rest.len())
    })
}

/// The name in a line that is nothing but a table's header.
fn header(line: &str) -> Option<&str> {
    let line = line.split('#').next()?.trim();
    let name = line.strip_prefix("[[").and_then(|l| l.strip_suffix("]]")).or_else(|| line.strip_prefix('[')?.strip_suffix(']'))?.trim();
    (!name.is_empty() && name.chars().all(is_word)).then_some(name)
}

/// Whether this is one of our keys, and not that of a secret.
fn harmless(key: &str) -> bool {
    !SECRET.contains(&key) && SECTIONS.iter().any(|(_, keys)| keys.contains(&key))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}
