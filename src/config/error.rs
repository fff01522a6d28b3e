//! What is wrong with a configuration: every fault found, each with its place, the line and what was expected there.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a configuration was refused; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<ConfigError>,
}

/// One fault. Neither its text nor its excerpt ever holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub(super) file: PathBuf,
    pub(super) message: String,
    pub(super) expected: String,
    pub(super) excerpt: Option<Excerpt>,
}

/// One line of the file with the place of the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// Line and column, in characters, both from 1.
    pub(super) line: usize,
    pub(super) column: usize,
    /// What may be shown of the line, and the part of that to underline, in characters.
    pub(super) text: String,
    pub(super) underline: std::ops::Range<usize>,
}

/// How many faults are printed; the rest are only counted.
const SHOWN: usize = 50;

impl ConfigErrors {
    pub(super) fn new(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(ConfigError::position);
        errors.dedup();
        Self { errors }
    }

    /// A fault of the whole file, such as that it cannot be read.
    pub(super) fn of_file(file: &Path, message: impl Into<String>, expected: impl Into<String>) -> Self {
        let (message, expected) = (message.into(), expected.into());
        Self { errors: vec![ConfigError { file: file.to_owned(), message, expected, excerpt: None }] }
    }

    /// The faults, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.errors.iter()
    }
}

impl ConfigError {
    /// Line and column (in characters), both counted from 1; `None` for a fault of the whole file.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.excerpt.as_ref().map(|e| (e.line, e.column))
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What was expected instead, or how to mend it.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

impl std::error::Error for ConfigErrors {}
impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().take(SHOWN).enumerate() {
            let gap = if i == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{error}")?;
        }
        match self.errors.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        let Some(Excerpt { line, column, text, underline }) = &self.excerpt else {
            write!(f, "{file}: {}", self.message)?;
            return if self.expected.is_empty() { Ok(()) } else { write!(f, "; {}", self.expected) };
        };
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let (indent, carets) = (" ".repeat(underline.start), "^".repeat(underline.len().max(1)));
        writeln!(f, "{file}:{line}:{column}: {}", self.message)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {text}")?;
        write!(f, "{gutter} | {indent}{carets} {}", self.expected)
    }
}
