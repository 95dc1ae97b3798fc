//! Which answer belongs to which parameters, so that a client cannot read one as another.

use super::changes::{Apply, Discard, ListChanges, ListedChanges, Outcomes};
use super::context::{Close, Escalate, Fork, Leased, Narrow, Open, Opened};
use super::file::{
    Attributes, Content, Copy, Directory, Done, Entries, Glob, Globbed, Move, Patch, Patched, Read, Remove,
    Search, Searched, Stat, Within, Write, Written,
};
use super::policy::{Check, Checked, Choice, Diff, Differences, Explain, Explained, Shown};
use super::{Call, process, server};

/// Parameters of one method.
pub trait Asks {
    /// The method's result.
    type Answer: serde::de::DeserializeOwned;

    /// The call with these parameters.
    fn into_call(self) -> Call;
}

macro_rules! asks {
    ($($parameters:ty, $call:ident, $answer:ty;)*) => {$(
        impl Asks for $parameters {
            type Answer = $answer;

            fn into_call(self) -> Call {
                Call::$call(self.into())
            }
        }
    )*};
}

asks! {
    server::Hello, Hello, server::Welcome;
    Check, PolicyCheck, Vec<Checked>;
    Choice, PolicyShow, Shown;
    Explain, PolicyExplain, Explained;
    Diff, PolicyDiff, Differences;
    Open, ContextOpen, Opened;
    Fork, ContextFork, Opened;
    Narrow, ContextNarrow, Opened;
    Escalate, ContextLease, Leased;
    Close, ContextClose, serde_json::Value;
    ListChanges, ChangesList, ListedChanges;
    Apply, ChangesApply, Outcomes;
    Discard, ChangesDiscard, Outcomes;
    process::Start, ProcessStart, process::Started;
    Within<Read>, FileRead, Content;
    Within<Write>, FileWrite, Written;
    Within<Patch>, FilePatch, Patched;
    Within<Directory>, FileList, Entries;
    Within<Stat>, FileStat, Attributes;
    Within<Copy>, FileCopy, Done;
    Within<Move>, FileMove, Done;
    Within<Remove>, FileRemove, Done;
    Within<Glob>, FileGlob, Globbed;
    Within<Search>, FileSearch, Searched;
}
