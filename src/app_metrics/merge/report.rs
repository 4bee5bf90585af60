//! What workers do not agree about.

/// One thing that is not the same for two workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disagreement {
    /// One name has two types, or is of two families: the later one is left out.
    Type,
    /// Two help texts or units: the first stays.
    Help,
    /// Other bounds: those that all have stay.
    Buckets,
    /// The program has a label `worker` itself: it is called `exported_worker`.
    Label,
}

impl Disagreement {
    /// Every one, in the order of the metric's series.
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

/// A conflict as it is found, once for each name and worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What it is about.
    pub kind: Disagreement,
    /// The name, as text 0.0.4 writes it.
    pub name: Box<str>,
    /// Whether no worker before had it with that name: worth a line in the log.
    pub first: bool,
}

/// How often workers did not agree, by name and worker. Never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts([u64; 4]);

impl Conflicts {
    /// How often about that.
    pub fn of(&self, kind: Disagreement) -> u64 {
        self.0[kind as usize]
    }

    pub(super) fn add(&mut self, kind: Disagreement) {
        self.0[kind as usize] += 1;
    }
}
