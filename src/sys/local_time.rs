//! The time zone of this process: TZ, otherwise /etc/localtime (tzset(3)).
#![expect(unsafe_code, reason = "localtime_r(3)")]

use std::mem::MaybeUninit;

use nix::errno::Errno;

/// Seconds by which local time is ahead of UTC at `second` (since 1970). 0 if the system does not know the zone. Fails
/// with EOVERFLOW if the year is out of range.
pub fn ahead_of_utc(second: i64) -> nix::Result<i64> {
    let second: libc::time_t = second;
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are live; the call keeps neither of them (localtime_r(3)). It reads the environment, which
    // nothing in this process changes.
    let done = unsafe { libc::localtime_r(&raw const second, parts.as_mut_ptr()) };
    if done.is_null() {
        return Err(Errno::last());
    }
    // SAFETY: all bytes were zero before the call, which is a valid value.
    let parts = unsafe { parts.assume_init() };
    Ok(parts.tm_gmtoff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_less_than_a_day_and_a_far_year_fails() {
        assert!(ahead_of_utc(0).unwrap().abs() < 86_400);
        assert_eq!(ahead_of_utc(i64::MAX), Err(Errno::EOVERFLOW));
    }
}
