//! The tables of §6.2.

use super::{Gateway, Said};
use crate::Id;
use crate::net::ethernet::Frame;

const NOBODY: [u8; 4] = [0; 4];

impl Gateway {
    /// In the order of DC-101.
    pub(super) fn arp(&mut self, frame: &Frame, packet: &[u8], now: u64) -> Result<Said, Id> {
        // AR-014
        if frame.destination[0] % 2 != 1 && frame.destination != self.config.mac {
            return Ok(Said::Silent(Id::Ar(14)));
        }
        // AR-001
        if packet.len() < 28 || packet[..6] != [0, 1, 8, 0, 6, 4] {
            return Err(Id::Ar(1));
        }
        let (op, sha) = (&packet[6..8], &packet[8..14]);
        let (mut spa, mut tpa) = ([0; 4], [0; 4]);
        spa.copy_from_slice(&packet[14..18]);
        tpa.copy_from_slice(&packet[24..28]);
        // AR-009
        if op != [0, 1] && op != [0, 2] {
            return Ok(Said::Silent(Id::Ar(9)));
        }
        // AR-010
        if sha != frame.source || sha == [0; 6] || sha[0] % 2 == 1 {
            return Err(Id::Ar(10));
        }
        // AR-017
        if self.config.owned.contains(&spa) {
            return self.defence(frame, spa, now);
        }
        // AR-006; a probe for 0.0.0.0 announces nothing (DC-103)
        if op == [0, 2] || spa == tpa && spa != NOBODY {
            return Ok(Said::Silent(Id::Ar(6)));
        }
        // AR-011
        if self.config.strict && spa != NOBODY && !self.config.guest.contains(&spa) {
            return Err(Id::Ar(11));
        }
        let refusal = self.refusal(spa, tpa);
        if let Some(id) = refusal.filter(|_| !self.config.owned.contains(&tpa)) {
            return Ok(Said::Silent(id));
        }
        // AR-002, AR-003, AR-008, AR-016
        let is_broadcast = self.config.broadcasts && tpa[..2] == [169, 254];
        let to = if is_broadcast { [0xff; 6] } else { frame.source };
        let reply = [
            &[0, 1, 8, 0, 6, 4, 0, 2],
            &self.config.mac[..],
            &tpa[..],
            &frame.source[..],
            &spa[..],
        ];
        self.reply(to, frame, 0x0806, &reply.concat())
    }

    /// Why a request for somebody else is not answered.
    fn refusal(&self, spa: [u8; 4], tpa: [u8; 4]) -> Option<Id> {
        // AR-012
        if tpa == NOBODY || tpa[0] == 127 || tpa[0] / 16 == 14 || tpa == [255; 4] {
            return Some(Id::Ar(12));
        }
        // AR-005
        if self.config.guest.contains(&tpa) {
            return Some(Id::Ar(5));
        }
        // AR-012
        if spa == NOBODY {
            return Some(Id::Ar(12));
        }
        // AR-002
        if !self.config.proxy { Some(Id::Ar(2)) } else { None }
    }

    /// AR-017, and AR-018 for what is sent.
    fn defence(&mut self, frame: &Frame, own: [u8; 4], now: u64) -> Result<Said, Id> {
        let is_due = match self.defended {
            None => true,
            Some(before) => now >= before + 10_000,
        };
        if !self.config.defends || !is_due {
            return Err(Id::Ar(17));
        }
        let announcement =
            [&[0, 1, 8, 0, 6, 4, 0, 1], &self.config.mac[..], &own[..], &[0; 6], &own[..]];
        let said = self.reply([0xff; 6], frame, 0x0806, &announcement.concat())?;
        self.defended = Some(now);
        Ok(said)
    }
}
