//! What the kernel writes into the files of limits.

/// The text is none that the kernel writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Odd;

/// The kernel writes a memory limit above this value to say "no limit" (version 1; the exact value depends on the page
/// size).
const NO_MEMORY_LIMIT: u64 = 1 << 62;

/// `cpu.max` of version 2, in thousandths of a CPU, rounded up; `None` for `max`.
pub(super) fn quota(text: &str) -> Result<Option<u64>, Odd> {
    let mut words = text.split_ascii_whitespace();
    let quota = words.next().ok_or(Odd)?;
    if quota == "max" {
        return Ok(None);
    }
    let quota = quota.parse().map_err(|_| Odd)?;
    let period = words.next().map_or(Ok(100_000), str::parse);
    milli(quota, period.map_err(|_| Odd)?).map(Some)
}

/// `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1; `None` for -1.
pub(super) fn quota_of_version_1(quota: &str, period: &str) -> Result<Option<u64>, Odd> {
    let number = |text: &str| text.trim().parse().map_err(|_| Odd);
    match quota.trim() {
        "-1" => Ok(None),
        quota => milli(number(quota)?, number(period)?).map(Some),
    }
}

/// Thousandths of a CPU, rounded up. A quota or a period of 0 is odd: the kernel never reports it.
fn milli(quota: u64, period: u64) -> Result<u64, Odd> {
    if quota == 0 || period == 0 {
        return Err(Odd);
    }
    let milli = (u128::from(quota) * 1000).div_ceil(u128::from(period));
    u64::try_from(milli).map_err(|_| Odd)
}

/// A limit of memory in bytes, of either version; `None` for no limit.
pub(super) fn memory(text: &str) -> Result<Option<u64>, Odd> {
    match text.trim() {
        "max" => Ok(None),
        number => {
            let bytes = number.parse().map_err(|_| Odd)?;
            Ok(Some(bytes).filter(|bytes| *bytes < NO_MEMORY_LIMIT))
        }
    }
}

/// Number of CPUs in a list such as `0-3,7`; `None` for an empty one, which a cpuset has that was never set.
pub(super) fn cpus(list: &str) -> Result<Option<u32>, Odd> {
    let list = list.trim();
    if list.is_empty() {
        return Ok(None);
    }
    let mut ranges = Vec::new();
    for part in list.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| Odd);
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(Odd);
        }
        ranges.push((low, high));
    }
    ranges.sort_unstable();
    let mut count = 0_u64;
    let mut next = 0_u64;
    for (low, high) in ranges {
        let (low, after) = (u64::from(low).max(next), u64::from(high) + 1);
        count += after.saturating_sub(low);
        next = next.max(after);
    }
    u32::try_from(count).map(Some).map_err(|_| Odd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotas_of_version_2() {
        let table = [
            ("max 100000\n", Ok(None)),
            ("max", Ok(None)),
            ("150000 100000\n", Ok(Some(1500))),
            ("150000", Ok(Some(1500))),
            ("1 3", Ok(Some(334))),
            ("", Err(Odd)),
            ("\n", Err(Odd)),
            ("0 100000", Err(Odd)),
            ("1 0", Err(Odd)),
            ("-1 100000", Err(Odd)),
            ("many 100000", Err(Odd)),
            ("1 many", Err(Odd)),
        ];
        for (text, expected) in table {
            assert_eq!(quota(text), expected, "{text:?}");
        }
    }

    #[test]
    fn quotas_of_version_1() {
        let table = [
            ("-1\n", "100000\n", Ok(None)),
            ("50000", "100000", Ok(Some(500))),
            ("18446744073709551615", "1", Err(Odd)),
            ("0", "100000", Err(Odd)),
            ("", "100000", Err(Odd)),
            ("50000", "", Err(Odd)),
            ("50000", "0", Err(Odd)),
        ];
        for (quota, period, expected) in table {
            assert_eq!(quota_of_version_1(quota, period), expected, "{quota:?}");
        }
    }

    #[test]
    fn limits_of_memory() {
        let table = [
            ("max\n", Ok(None)),
            ("9223372036854771712\n", Ok(None)),
            ("268435456\n", Ok(Some(256 << 20))),
            ("0", Ok(Some(0))),
            ("", Err(Odd)),
            ("-1", Err(Odd)),
            ("1Gi", Err(Odd)),
        ];
        for (text, expected) in table {
            assert_eq!(memory(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lists_of_cpus() {
        let table = [
            ("0", Ok(Some(1))),
            ("0-3,7", Ok(Some(5))),
            ("0-3,2-5", Ok(Some(6))),
            ("0-3,1", Ok(Some(4))),
            ("7,0-3\n", Ok(Some(5))),
            ("0-4294967294", Ok(Some(u32::MAX))),
            ("0-4294967295", Err(Odd)),
            ("", Ok(None)),
            ("\n", Ok(None)),
            ("3-1", Err(Odd)),
            ("0-", Err(Odd)),
            ("a", Err(Odd)),
            ("0,,1", Err(Odd)),
            ("-1", Err(Odd)),
            ("0-10:2/4", Err(Odd)),
        ];
        for (list, expected) in table {
            assert_eq!(cpus(list), expected, "{list:?}");
        }
    }

    proptest! {
        #[test]
        fn a_list_counts_each_cpu_once(set in proptest::collection::btree_set(0_u32..200, 1..50)) {
            let list: Vec<String> = set.iter().rev().map(ToString::to_string).collect();
            prop_assert_eq!(cpus(&list.join(",")).unwrap(), u32::try_from(set.len()).ok());
        }
    }
}
