//! Extension headers: skipped, never obeyed (V6-010, DC-130).

use super::{Ipv6Error, protocol};

/// Most extension headers of a packet that is read.
pub const EXTENSIONS_MAX: usize = 4;

/// An option with one of these bits may not be skipped by those who do not know it.
const MUST_KNOW: u8 = 0xc0;

/// The option that is one byte of padding.
const PAD_1: u8 = 0;

/// Skips extension headers; `None` when nobody may look behind them.
pub(super) fn skip(mut next: u8, mut payload: &[u8]) -> Result<Option<(u8, &[u8])>, Ipv6Error> {
    for index in 0..=EXTENSIONS_MAX {
        match next {
            protocol::HOP_BY_HOP if index > 0 => return Ok(None), // RFC 8200 §4.1
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION => {}
            // Nobody puts fragments together here, and NDP may not be one (RFC 6980).
            protocol::FRAGMENT | protocol::NONE => return Ok(None),
            _ => return Ok(Some((next, payload))),
        }
        if index == EXTENSIONS_MAX {
            break; // V6-010
        }
        let cut = Ipv6Error::ExtensionCut { protocol: next };
        let &[behind, units, _, segments_left] = payload.first_chunk().ok_or(cut)?;
        let len = usize::from(units).saturating_add(1).saturating_mul(8);
        let (header, rest) = payload.split_at_checked(len).ok_or(cut)?; // V6-010
        let may_go_on = if next == protocol::ROUTING {
            segments_left == 0
        } else {
            may_skip(header.get(2..).unwrap_or_default()).ok_or(cut)?
        };
        if !may_go_on {
            return Ok(None);
        }
        (next, payload) = (behind, rest);
    }
    Ok(None)
}

/// Whether all of these options may be skipped; `None` when one is cut.
fn may_skip(mut options: &[u8]) -> Option<bool> {
    while let Some((&kind, rest)) = options.split_first() {
        if kind == PAD_1 {
            options = rest;
            continue;
        }
        let (&len, rest) = rest.split_first()?;
        let (_, rest) = rest.split_at_checked(len.into())?;
        if kind & MUST_KNOW != 0 {
            return Some(false);
        }
        options = rest;
    }
    Some(true)
}
