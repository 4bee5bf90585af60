//! A terminal: its size and its modes (termios(3), ioctl_tty(2)).
#![expect(unsafe_code, reason = "TIOCGWINSZ has no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::termios::{
    FlushArg, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcflush, tcgetattr, tcsetattr,
};

/// Columns and rows. None if the terminal does not know: a new one of a container may have 0 of both.
pub fn size(fd: impl AsFd) -> Option<(u16, u16)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize (ioctl_tty(2)) into our variable; the descriptor is open while borrowed.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(done).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The modes that a terminal had.
#[derive(Clone, Debug)]
pub struct Modes(libc::termios);

impl Modes {
    /// As they are. Fails with ENOTTY if it is no terminal.
    pub fn of(fd: impl AsFd) -> nix::Result<Self> {
        tcgetattr(fd).map(|modes| Self(modes.into()))
    }

    /// Gives the terminal these modes again. What was typed meanwhile is thrown away: the next program should not take it
    /// for its own.
    pub fn restore(&self, fd: impl AsFd) -> nix::Result<()> {
        let fd = fd.as_fd();
        // It may fail for a terminal that is gone; the next call tells.
        let _ = tcflush(fd, FlushArg::TCIFLUSH);
        tcsetattr(fd, SetArg::TCSANOW, &Termios::from(self.0))
    }

    /// The same, but each key comes at once and as it is: no echo, no line, no signal. A read waits for a byte.
    pub fn set_raw(&self, fd: impl AsFd) -> nix::Result<()> {
        let mut raw = Termios::from(self.0);
        cfmakeraw(&mut raw);
        for (which, value) in [
            (SpecialCharacterIndices::VMIN, 1),
            (SpecialCharacterIndices::VTIME, 0),
        ] {
            if let Some(place) = raw.control_chars.get_mut(which as usize) {
                *place = value;
            }
        }
        tcsetattr(fd, SetArg::TCSANOW, &raw)
    }
}
