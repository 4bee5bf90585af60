//! Conflicts between workers.

/// Something in which two workers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disagreement {
    /// A name has two types, or belongs to two families: the later one is left out.
    Type,
    /// Different help texts or units: the first stays.
    Help,
    /// Different bounds: the common bounds are shown.
    Buckets,
    /// The program has a label `worker` of its own: it is renamed to `exported_worker`.
    Label,
}

impl Disagreement {
    /// All kinds, in the order of the metric's series.
    pub const ALL: [Self; 4] = [Self::Type, Self::Help, Self::Buckets, Self::Label];

    /// The label value.
    pub fn label(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Help => "help",
            Self::Buckets => "buckets",
            Self::Label => "label",
        }
    }
}

/// A conflict, reported once for each name and worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What the workers disagree about.
    pub kind: Disagreement,
    /// The name in text 0.0.4.
    pub name: Box<str>,
    /// Whether it is the first such conflict for this name, so that it is logged.
    pub first: bool,
}

/// Number of conflicts, counted once for each name and worker. Never decreases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts([u64; 4]);

impl Conflicts {
    /// Number of conflicts of this kind.
    pub fn of(&self, kind: Disagreement) -> u64 {
        self.0[kind as usize]
    }

    pub(super) fn add(&mut self, kind: Disagreement) {
        self.0[kind as usize] += 1;
    }
}
