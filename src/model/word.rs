//! Enums that users write as fixed words.

/// A value that users write as one fixed word in a variable, and that the runtime shows as the same word.
pub trait Word: Copy + 'static {
    /// Every value, in the order in which messages list the words.
    const ALL: &'static [Self];

    /// The word, in lower case.
    fn word(self) -> &'static str;

    /// The value of this word, in any case.
    fn from_word(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|value| value.word().eq_ignore_ascii_case(text))
    }
}
