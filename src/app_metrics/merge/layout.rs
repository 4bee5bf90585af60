//! Bucket bounds of histograms.

use std::sync::Arc;

/// One bound, with the text in which it was first written.
#[derive(Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) value: f64,
    pub(super) text: Box<str>,
}

/// Sorted bounds; the last is infinite. A summary has only that one.
pub(super) type Layout = Arc<[Bound]>;

/// The layouts in use, each stored once.
#[derive(Debug, Default)]
pub(super) struct Layouts(Vec<Layout>);

impl Layouts {
    /// The shared layout with these bounds.
    pub(super) fn of(&mut self, values: &[f64], text: impl Fn(usize) -> Box<str>) -> Layout {
        let is_same = |layout: &&Layout| {
            layout
                .iter()
                .map(|bound| bound.value)
                .eq(values.iter().copied())
        };
        if let Some(layout) = self.0.iter().find(is_same) {
            return Arc::clone(layout);
        }
        let bounds = values.iter().enumerate().map(|(at, value)| Bound {
            value: *value,
            text: text(at),
        });
        let layout: Layout = bounds.collect();
        // Remove layouts that are no longer used.
        self.0.retain(|layout| Arc::strong_count(layout) > 1);
        self.0.push(Arc::clone(&layout));
        layout
    }
}

/// The bounds that all `layouts` have: for each such bound, its index in each layout.
pub(super) fn common(layouts: &[&Layout]) -> Vec<Vec<usize>> {
    let Some((first, others)) = layouts.split_first() else {
        return Vec::new();
    };
    let place = |layout: &Layout, value: f64| {
        layout
            .binary_search_by(|bound| bound.value.total_cmp(&value))
            .ok()
    };
    let bounds = first.iter().enumerate();
    let places = bounds.filter_map(|(at, bound)| {
        let mut places = vec![at];
        for layout in others {
            places.push(place(layout, bound.value)?);
        }
        Some(places)
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse_number;

    fn of(layouts: &mut Layouts, bounds: &[&str]) -> Layout {
        let values: Vec<f64> = bounds
            .iter()
            .map(|bound| parse_number(bound).unwrap())
            .collect();
        layouts.of(&values, |at| bounds[at].into())
    }

    #[test]
    fn the_same_numbers_are_the_same_layout() {
        let mut layouts = Layouts::default();
        let one = of(&mut layouts, &["-0.5", "1", "1e1", "+Inf"]);
        let other = of(&mut layouts, &["-.5", "1.0", "10", "inf"]);
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(&*other[1].text, "1");
        assert!(!Arc::ptr_eq(&one, &of(&mut layouts, &["1", "+Inf"])));
    }

    #[test]
    fn those_that_nobody_has_are_forgotten() {
        let mut layouts = Layouts::default();
        for bound in 0..100 {
            of(&mut layouts, &[&bound.to_string(), "+Inf"]);
        }
        assert!(layouts.0.len() <= 2, "{}", layouts.0.len());
    }

    #[test]
    fn common_bounds_are_those_of_all() {
        let mut layouts = Layouts::default();
        let one = of(&mut layouts, &["1", "2", "4", "+Inf"]);
        let two = of(&mut layouts, &["0.5", "2", "4", "8", "+Inf"]);
        let three = of(&mut layouts, &["2", "3", "+Inf"]);
        assert_eq!(common(&[&one, &two]), [[1, 1], [2, 2], [3, 4]]);
        assert_eq!(common(&[&one, &two, &three]), [[1, 1, 0], [3, 4, 2]]);
        assert_eq!(common(&[&three]), [[0], [1], [2]]);
    }
}
