//! Postcopy migration (spec §6.10). The table in the middle of it is in [`super::memory`].

use super::{Backend, Effect, Fault, Request, Result, Step, Waiting};
use crate::Id;

/// Where postcopy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Postcopy {
    Off,
    Advised,
    Listening,
    /// The table was answered; its acknowledgement is due.
    TableSent,
    Active,
}

impl Postcopy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Advised => "Advised",
            Self::Listening => "Listening",
            Self::TableSent => "TableSent",
            Self::Active => "Active",
        }
    }
}

impl Backend {
    /// The next memory table is answered with addresses.
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.postcopy, Postcopy::Listening | Postcopy::Active)
    }

    pub(super) fn postcopy_advise(&mut self, request: Request) -> Result<Step> {
        if self.postcopy != Postcopy::Off {
            return Err(Fault::Close(Id::Vu(175)));
        }
        Ok(self.need(request, Waiting::OpenUserfault, Effect::OpenUserfault))
    }

    pub(super) fn postcopy_listen(&mut self, request: Request) -> Result<Step> {
        if self.postcopy != Postcopy::Advised {
            return Err(Id::Vu(175).into());
        }
        self.postcopy = Postcopy::Listening;
        Ok(request.success())
    }

    pub(super) fn postcopy_end(&mut self, request: Request) -> Result<Step> {
        if !self.is_listening() {
            return Err(Id::Vu(175).into());
        }
        Ok(self.need(request, Waiting::CloseUserfault, Effect::CloseUserfault))
    }
}
