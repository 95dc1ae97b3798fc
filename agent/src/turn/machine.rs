//! What is next in a turn: a state, what happened, and what is to be done about it. Performs nothing and waits for nothing.

use super::Call;
use crate::item::{Item, Usage};
use crate::model::{ModelError, Stop};
use crate::thread::TurnStatus;

/// Requests of one turn. Long work takes a few hundred; a model that goes in circles would never end.
const STEPS_MAX: u32 = 1_000;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) items: Vec<Item>,
    pub(super) usage: Usage,
    pub(super) stop: Stop,
}

/// What happened.
#[derive(Debug)]
pub(super) enum Happened {
    /// The model answered.
    Answered(Answer),
    /// It did not.
    Failed(ModelError),
    /// All calls have results.
    Called,
    /// There is a summary.
    Compacted(String),
    /// The person ended it. `said`: messages of an answer that was not complete.
    Interrupted { said: Vec<Item> },
}

/// What is to be done, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Act {
    /// Keep an item.
    Keep(Item),
    /// Ask the model.
    Ask,
    /// Carry out calls.
    Call(Vec<Call>),
    /// Have the conversation summarized.
    Compact,
    /// End the turn.
    End(TurnStatus),
}

/// Whether a summary would help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// There is room.
    Enough,
    /// The conversation is to be summarized before the model is asked again.
    Little,
    /// It is being or was summarized, and nothing was done since: once more would change nothing.
    Made,
}

/// A turn's state.
#[derive(Debug)]
pub(super) struct Machine {
    compact_above: Option<u64>,
    room: Room,
    steps: u32,
    steered: Vec<String>,
}

impl Machine {
    /// A turn whose conversation is summarized above so many tokens.
    pub(super) const fn new(compact_above: Option<u64>) -> Self {
        Self { compact_above, room: Room::Enough, steps: 0, steered: Vec::new() }
    }

    /// The turn begins.
    pub(super) fn begin(&mut self, prompt: String) -> Vec<Act> {
        self.steps = 1;
        vec![Act::Keep(Item::UserMessage { text: prompt }), Act::Ask]
    }

    /// A word of the person's, for the next request.
    pub(super) fn steer(&mut self, text: String) {
        self.steered.push(text);
    }

    /// What is to be done now.
    pub(super) fn on(&mut self, happened: Happened) -> Vec<Act> {
        match happened {
            Happened::Answered(answer) => self.answered(answer),
            Happened::Called => self.go_on(),
            Happened::Compacted(summary) => vec![Act::Keep(Item::Compaction { summary }), Act::Ask],
            // Where the summary itself cannot be asked for, once more would not help.
            Happened::Failed(ModelError::ContextOverflow { .. }) if self.room != Room::Made => {
                vec![self.compact()]
            }
            Happened::Failed(error) => self.failed(error.to_string()),
            Happened::Interrupted { said } => {
                let mut acts: Vec<_> = said.into_iter().map(Act::Keep).collect();
                acts.extend(self.words());
                acts.push(Act::End(TurnStatus::Interrupted));
                acts
            }
        }
    }

    fn answered(&mut self, answer: Answer) -> Vec<Act> {
        let Answer { items, usage, stop } = answer;
        let size = usage.input.saturating_add(usage.output);
        let is_large = self.compact_above.is_some_and(|limit| size > limit);
        self.room = match self.room {
            Room::Made if is_large => Room::Made,
            _ if is_large => Room::Little,
            _ => Room::Enough,
        };
        let calls: Vec<_> = items.iter().filter_map(call).collect();
        let mut acts: Vec<_> = items.into_iter().map(Act::Keep).collect();
        match (calls.is_empty(), stop) {
            (false, _) => acts.push(Act::Call(calls)),
            (true, Stop::Refused) => {
                acts.extend(self.failed("the model, or its provider, would not answer".to_owned()))
            }
            (true, Stop::Length) => {
                acts.extend(
                    self.failed("the model reached its limit of output before it was done".to_owned()),
                );
            }
            (true, Stop::End) if !self.steered.is_empty() => acts.extend(self.go_on()),
            (true, Stop::End) => acts.push(Act::End(TurnStatus::Completed)),
        }
        acts
    }

    /// The model is asked again, with what the person said meanwhile.
    fn go_on(&mut self) -> Vec<Act> {
        if self.steps >= STEPS_MAX {
            return self.failed(format!("the turn was ended after {STEPS_MAX} requests"));
        }
        self.steps += 1;
        let mut acts = self.words();
        acts.push(if self.room == Room::Little { self.compact() } else { Act::Ask });
        acts
    }

    fn compact(&mut self) -> Act {
        self.room = Room::Made;
        Act::Compact
    }

    fn words(&mut self) -> Vec<Act> {
        self.steered.drain(..).map(|text| Act::Keep(Item::UserMessage { text })).collect()
    }

    fn failed(&mut self, message: String) -> Vec<Act> {
        let mut acts = self.words();
        acts.push(Act::End(TurnStatus::Failed { message }));
        acts
    }
}

fn call(item: &Item) -> Option<Call> {
    match item {
        Item::ToolCall { call, tool, arguments } => {
            Some(Call { id: call.clone(), tool: tool.clone(), arguments: arguments.clone() })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Item {
        Item::AgentMessage { text: text.to_owned() }
    }

    fn asks(id: &str) -> Item {
        Item::ToolCall { call: id.into(), tool: "run".to_owned(), arguments: "{}".to_owned() }
    }

    fn answer(items: Vec<Item>, size: u64) -> Happened {
        let usage = Usage { input: size, ..Usage::default() };
        Happened::Answered(Answer { items, usage, stop: Stop::End })
    }

    /// Acts in short: `k` keep, `a` ask, `c` with the number of calls, `s` summarize, then how it ends.
    fn short(acts: &[Act]) -> String {
        let word = |act: &Act| match act {
            Act::Keep(_) => "k".to_owned(),
            Act::Ask => "a".to_owned(),
            Act::Call(calls) => format!("c{}", calls.len()),
            Act::Compact => "s".to_owned(),
            Act::End(status) => format!("{status:?}").split(' ').next().unwrap_or_default().to_owned(),
        };
        acts.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn overflow() -> Happened {
        Happened::Failed(ModelError::ContextOverflow { message: String::new() })
    }

    #[test]
    fn a_turn_goes_on_while_the_model_calls() {
        let mut machine = Machine::new(None);
        assert_eq!(short(&machine.begin("go".to_owned())), "k a");
        assert_eq!(short(&machine.on(answer(vec![said("I look"), asks("1"), asks("2")], 1))), "k k k c2");
        assert_eq!(short(&machine.on(Happened::Called)), "a");
        assert_eq!(short(&machine.on(answer(vec![said("done")], 1))), "k Completed");
    }

    #[test]
    fn words_are_heard_before_the_next_request_and_before_the_end() {
        let mut machine = Machine::new(None);
        machine.begin("go".to_owned());
        machine.steer("left".to_owned());
        assert_eq!(short(&machine.on(answer(vec![said("done")], 1))), "k k a");
        machine.on(answer(vec![asks("1")], 1));
        machine.steer("right".to_owned());
        assert_eq!(short(&machine.on(Happened::Called)), "k a");
        machine.steer("stop".to_owned());
        let interrupted = Happened::Interrupted { said: vec![said("I w")] };
        assert_eq!(short(&machine.on(interrupted)), "k k Interrupted");
    }

    #[test]
    fn a_long_conversation_is_summarized_once_for_each_reason() {
        let mut machine = Machine::new(Some(100));
        machine.begin("go".to_owned());
        assert_eq!(short(&machine.on(answer(vec![asks("1")], 101))), "k c1");
        assert_eq!(short(&machine.on(Happened::Called)), "s");
        assert_eq!(short(&machine.on(Happened::Compacted("sum".to_owned()))), "k a");
        // A summary that is itself too long is not summarized again and again.
        assert_eq!(short(&machine.on(answer(vec![asks("2")], 101))), "k c1");
        assert_eq!(short(&machine.on(Happened::Called)), "a");
        assert_eq!(short(&machine.on(overflow())), "Failed");
        let mut machine = Machine::new(None);
        machine.begin("go".to_owned());
        assert_eq!(short(&machine.on(overflow())), "s");
        assert_eq!(short(&machine.on(Happened::Compacted("sum".to_owned()))), "k a");
        assert_eq!(short(&machine.on(overflow())), "Failed");
        // What is too long even for a summary is not summarized for ever, whoever found it too long.
        let mut machine = Machine::new(Some(100));
        machine.begin("go".to_owned());
        assert_eq!(short(&machine.on(overflow())), "s");
        assert_eq!(short(&machine.on(overflow())), "Failed");
        let mut machine = Machine::new(Some(100));
        machine.on(answer(vec![asks("1")], 101));
        assert_eq!(short(&machine.on(Happened::Called)), "s");
        assert_eq!(short(&machine.on(overflow())), "Failed");
    }

    #[test]
    fn a_turn_ends() {
        let mut machine = Machine::new(None);
        machine.begin("go".to_owned());
        let mut last = Vec::new();
        for _ in 0..STEPS_MAX {
            machine.on(answer(vec![asks("1")], 1));
            last = machine.on(Happened::Called);
        }
        assert_eq!(short(&last), "Failed");
        let error = Happened::Failed(ModelError::Key { status: 401, message: "no".to_owned() });
        assert_eq!(short(&Machine::new(None).on(error)), "Failed");
        for stop in [Stop::Refused, Stop::Length] {
            let cut = Answer { items: vec![said("I")], usage: Usage::default(), stop };
            assert_eq!(short(&Machine::new(None).on(Happened::Answered(cut))), "k Failed", "{stop:?}");
        }
    }
}
