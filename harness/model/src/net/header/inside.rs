//! What is inside a frame (§3.4 T9, DC-092, DC-094).

use super::super::ethernet::number;
use super::{Cut, Headers};

/// What is known of the headers inside a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// They are there.
    There {
        /// IP version.
        version: u8,
        /// The last `next header` or `protocol`.
        protocol: u8,
        /// Where what it names begins.
        at: usize,
    },
    /// There are too many to follow.
    TooMany,
    /// They are not there.
    Missing,
}

/// Tags after the addresses, at most eight, and the type behind them.
pub(super) fn tags(frame: &[u8]) -> (usize, Option<u16>) {
    for tags in 0..8 {
        let ether_type = number(frame, 12 + 4 * tags);
        if ether_type != Some(0x8100) && ether_type != Some(0x88a8) {
            return (tags, ether_type);
        }
    }
    (8, number(frame, 12 + 4 * 8))
}

/// The headers that a frame has for this cut: `None` when they are others, `Some(None)` when it
/// is not known.
pub(super) fn headers(frame: &[u8], cut: &Cut) -> Option<Option<Headers>> {
    let inside = match cut.tunnel {
        None => outer(frame),
        Some(tunnel) => match outer(frame) {
            Inside::Missing => Inside::Missing,
            Inside::There { version, protocol, .. }
                if version != tunnel.version || protocol != 17 =>
            {
                Inside::Missing
            }
            _ => inner(frame, usize::from(tunnel.inner)),
        },
    };
    match inside {
        Inside::TooMany => Some(None),
        Inside::Missing => None,
        Inside::There { version, protocol, at } => {
            let is_right = match cut.value {
                1 => (version, protocol) == (4, 6),
                4 => (version, protocol) == (6, 6),
                _ => protocol == 17,
            };
            if !is_right {
                return None;
            }
            let len = if protocol == 17 { 8 } else { usize::from(frame.get(at + 12)? / 16) * 4 };
            if protocol == 6 && (len < 20 || at + 20 > frame.len()) {
                return None;
            }
            let end = at + len;
            (end <= frame.len()).then_some(Some(Headers { version, start: at, end }))
        }
    }
}

/// Behind the Ethernet header and its tags.
fn outer(frame: &[u8]) -> Inside {
    let (tags, ether_type) = tags(frame);
    let at = 14 + 4 * tags;
    match ether_type {
        Some(0x0800) => packet4(frame, at),
        Some(0x86dd) => packet6(frame, at),
        Some(0x8100 | 0x88a8) => Inside::TooMany,
        _ => Inside::Missing,
    }
}

/// Whatever version there is.
fn inner(frame: &[u8], at: usize) -> Inside {
    match frame.get(at).map(|byte| byte / 16) {
        Some(4) => packet4(frame, at),
        Some(6) => packet6(frame, at),
        _ => Inside::Missing,
    }
}

fn packet4(frame: &[u8], at: usize) -> Inside {
    if at + 20 > frame.len() || frame[at] / 16 != 4 {
        return Inside::Missing;
    }
    let len = usize::from(frame[at] % 16) * 4;
    let offset = number(frame, at + 6).unwrap_or(0) % 0x2000;
    if len < 20 || at + len > frame.len() || offset != 0 {
        return Inside::Missing;
    }
    Inside::There { version: 4, protocol: frame[at + 9], at: at + len }
}

fn packet6(frame: &[u8], at: usize) -> Inside {
    if at + 40 > frame.len() || frame[at] / 16 != 6 {
        return Inside::Missing;
    }
    let mut next = frame[at + 6];
    let mut place = at + 40;
    let mut followed = 0;
    while [0, 43, 44, 51, 60].contains(&next) {
        if followed == 8 {
            return Inside::TooMany;
        }
        if place + 4 > frame.len() {
            return Inside::Missing;
        }
        let units = usize::from(frame[place + 1]);
        let len = match next {
            44 => 8,
            51 => 4 * (units + 2),
            _ => 8 * (units + 1),
        };
        if next == 44 && number(frame, place + 2).unwrap_or(0) >= 8 {
            return Inside::Missing;
        }
        next = frame[place];
        place += len;
        followed += 1;
        if place > frame.len() {
            return Inside::Missing;
        }
    }
    Inside::There { version: 6, protocol: next, at: place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_counted_up_to_eight() {
        let mut frame = vec![0; 12];
        for _ in 0..9 {
            frame.extend([0x81, 0, 0, 5]);
        }
        frame.extend([8, 0]);
        assert_eq!(tags(&frame), (8, Some(0x8100)));
        frame.drain(12..16);
        assert_eq!(tags(&frame), (8, Some(0x0800)));
        assert_eq!(tags(&frame[..14]), (1, None));
    }

    #[test]
    fn extension_headers_are_followed_up_to_eight() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, 60]);
        frame.resize(54, 0);
        for next in [60, 60, 60, 60, 60, 60, 60] {
            frame.extend([next, 0, 0, 0, 0, 0, 0, 0]);
        }
        let mut last = frame.clone();
        last.extend([17, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(outer(&last), Inside::There { version: 6, protocol: 17, at: 54 + 64 });
        frame.extend([60, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(outer(&frame), Inside::TooMany);
        assert_eq!(outer(&frame[..60]), Inside::Missing);
    }
}
