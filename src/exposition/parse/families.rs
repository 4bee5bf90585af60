//! Collects the families of a page while it is read: assigns samples to families, and keeps type, help and unit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::limits::DropReason;
use super::line::Line;
use crate::exposition::model::unescape;
use crate::exposition::{
    Claim, Family, Format, MetricType, PageLimits, Sample, Suffix, claims, is_metric_name,
};

/// The family to which samples of a name belong.
#[derive(Clone, Copy, Debug)]
struct Owner {
    /// Index of the family; `None` if the family was refused.
    family: Option<usize>,
    claim: Claim,
}

/// The families read so far.
#[derive(Debug)]
pub(super) struct Collected<'a> {
    format: Format,
    limits: &'a PageLimits,
    families: Vec<Family>,
    /// By sample name.
    owners: BTreeMap<Cow<'a, str>, Owner>,
    /// The latest family for each name in a `# TYPE`.
    declared: BTreeMap<&'a str, usize>,
    /// Help texts (and below: units) that came before their `# TYPE`.
    helps: BTreeMap<&'a str, &'a str>,
    units: BTreeMap<&'a str, &'a str>,
    /// The family of the previous sample: most samples have the same name as the one before.
    last: Option<(&'a str, Owner)>,
    series: usize,
}

impl<'a> Collected<'a> {
    pub(super) fn new(format: Format, limits: &'a PageLimits) -> Self {
        Self {
            format,
            limits,
            families: Vec::new(),
            owners: BTreeMap::new(),
            declared: BTreeMap::new(),
            helps: BTreeMap::new(),
            units: BTreeMap::new(),
            last: None,
            series: 0,
        }
    }

    /// Processes `# TYPE`: from now on, samples with the names of this family belong to it.
    pub(super) fn declare(&mut self, declared: &'a str, word: &str) -> Result<(), DropReason> {
        self.check_name(declared)?;
        let kind = MetricType::parse(word, self.format).ok_or(DropReason::Invalid)?;
        let (name, bare) = match self.format {
            // In this format the name in `# TYPE` is the name of the sample.
            Format::Text if kind == MetricType::Counter => match declared.strip_suffix("_total") {
                Some(name) if is_metric_name(name) => (name, false),
                _ => (declared, true),
            },
            Format::Text | Format::OpenMetrics => (declared, false),
        };
        if let Some(at) = self.declared.get(declared)
            && self.families[*at].kind == kind
        {
            return Ok(());
        }
        // Python writes such a separate family in text 0.0.4 for the `_created` samples of its counters and histograms.
        if kind == MetricType::Gauge && declared.ends_with(Suffix::Created.text()) {
            let owner = self.owners.get(declared);
            if owner.is_some_and(|owner| owner.claim == Claim::Sample(Suffix::Created)) {
                return Ok(());
            }
        }
        if self.families.len() >= self.limits.series {
            return Err(DropReason::Limit);
        }
        let is_free = |(name, claim): (Cow<'_, str>, Claim)| {
            !claim.is_firm() || !self.owners.get(&name).is_some_and(Owner::is_firm)
        };
        let is_free = claims(name, kind, bare).all(is_free);
        let family = is_free.then_some(self.families.len());
        for (name, claim) in claims(name, kind, bare) {
            // Samples of a refused family belong to no family.
            let claim = family.map_or(Claim::Shared, |_| claim);
            let owner = Owner { family, claim };
            match self.owners.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(owner);
                }
                Entry::Occupied(mut place) => {
                    let held = place.get();
                    if !(held.is_firm() || !claim.is_firm() && held.family.is_some()) {
                        place.insert(owner);
                    }
                }
            }
        }
        self.last = None;
        let at = family.ok_or(DropReason::Invalid)?;
        self.declared.insert(declared, at);
        self.add(declared, name, kind);
        Ok(())
    }

    /// Processes `# HELP`.
    pub(super) fn help(&mut self, name: &'a str, text: &'a str) -> Result<(), DropReason> {
        self.check_name(name)?;
        if text.is_empty() || text.len() > self.limits.help {
            return Ok(());
        }
        // It may come after its `# TYPE`, or before the `# TYPE` of the next family with this name.
        if let Some(family) = self.open(name)
            && family.help.is_none()
        {
            family.help = Some(unescape(text).into());
            return Ok(());
        }
        remember(&mut self.helps, name, text, self.limits.series)
    }

    /// Processes `# UNIT`.
    pub(super) fn unit(&mut self, name: &'a str, unit: &'a str) -> Result<(), DropReason> {
        self.check_name(name)?;
        if unit.is_empty() {
            return Ok(());
        }
        if name
            .strip_suffix(unit)
            .is_none_or(|rest| !rest.ends_with('_'))
        {
            return Err(DropReason::Invalid);
        }
        if let Some(family) = self.open(name)
            && family.unit.is_none()
        {
            family.unit = Some(unit.into());
            return Ok(());
        }
        remember(&mut self.units, name, unit, self.limits.series)
    }

    /// Processes a sample line.
    pub(super) fn sample(&mut self, line: Line<'a>) -> Result<(), DropReason> {
        let owner = match self.last {
            Some((name, owner)) if name == line.name => Some(owner),
            _ => self.owners.get(line.name).copied(),
        };
        let (at, suffix) = match owner {
            Some(Owner {
                family: Some(at),
                claim: Claim::Sample(suffix),
            }) => (at, suffix),
            Some(_) => return Err(DropReason::Invalid),
            None => {
                self.check_series()?;
                let family = Some(self.families.len());
                let claim = Claim::Sample(Suffix::None);
                let owner = Owner { family, claim };
                self.owners.insert(line.name.into(), owner);
                (
                    self.add(line.name, line.name, MetricType::Unknown),
                    Suffix::None,
                )
            }
        };
        let claim = Claim::Sample(suffix);
        let family = Some(at);
        self.last = Some((line.name, Owner { family, claim }));
        if suffix == Suffix::Created {
            return Ok(());
        }
        self.check_series()?;
        self.series += 1;
        let with_exemplar = matches!(suffix, Suffix::Total | Suffix::Bucket);
        self.families[at].samples.push(Sample {
            suffix,
            labels: line.labels,
            value: line.value,
            exemplar: line.exemplar.filter(|_| with_exemplar),
        });
        Ok(())
    }

    /// The families with their samples in the order of the page.
    pub(super) fn finish(self) -> Vec<Family> {
        self.families
    }

    fn check_name(&self, name: &str) -> Result<(), DropReason> {
        if !is_metric_name(name) {
            return Err(DropReason::Invalid);
        }
        if name.len() > self.limits.name {
            return Err(DropReason::Limit);
        }
        Ok(())
    }

    fn check_series(&self) -> Result<(), DropReason> {
        if self.series >= self.limits.series || self.families.len() > self.limits.series {
            return Err(DropReason::Limit);
        }
        Ok(())
    }

    /// The family that was declared with this name, unless it has samples already.
    fn open(&mut self, declared: &str) -> Option<&mut Family> {
        let at = *self.declared.get(declared)?;
        let family = self.families.get_mut(at)?;
        family.samples.is_empty().then_some(family)
    }

    /// Appends a family.
    fn add(&mut self, declared: &str, name: &str, kind: MetricType) -> usize {
        let help = self.helps.remove(declared);
        self.families.push(Family {
            name: name.into(),
            kind,
            help: help.map(|help| unescape(help).into()),
            unit: self.units.remove(declared).map(Into::into),
            samples: Vec::new(),
        });
        self.families.len() - 1
    }
}

impl Owner {
    /// Whether no other family may use the name.
    fn is_firm(&self) -> bool {
        self.family.is_some() && self.claim.is_firm()
    }
}

/// Keeps the first text for a name.
fn remember<'a>(
    said: &mut BTreeMap<&'a str, &'a str>,
    name: &'a str,
    text: &'a str,
    most: usize,
) -> Result<(), DropReason> {
    if said.len() >= most {
        return Err(DropReason::Limit);
    }
    said.entry(name).or_insert(text);
    Ok(())
}
