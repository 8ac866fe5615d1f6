//! Where a route is looked up: a tree of segments for each host, and one for any host.
//!
//! Made and asked by `route::Table`, which alone knows what a route is. It may change what a look-up
//! costs, and never what it finds: the first of the table that matches, or the first that some lenient
//! app would take for one. Tests compare both with a search through the whole table.

use super::{PathPattern, Segment, loose};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// An index of routes by host and path.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    of_hosts: BTreeMap<String, Trees>,
    of_any: Trees,
}

/// To the letter, and as the most lenient app compares.
#[derive(Clone, Debug, Default)]
struct Trees {
    literal: Node,
    loose: Node,
}

/// What may follow so far, and which routes (by their index in the table) end here.
#[derive(Clone, Debug, Default)]
struct Node {
    literals: BTreeMap<Box<str>, Self>,
    /// An empty segment, which is a final slash: a lenient app does not need it.
    slash: Option<Box<Self>>,
    any: Option<Box<Self>>,
    ends: Vec<usize>,
    rest: Vec<usize>,
}

impl Index {
    /// Adds a route, which comes after all those that were added before.
    pub(super) fn add(&mut self, index: usize, host: Option<&str>, path: &PathPattern) {
        let trees = match host {
            Some(host) => self.of_hosts.entry(host.to_owned()).or_default(),
            None => &mut self.of_any,
        };
        trees.literal.add(index, &path.segments, false);
        trees.loose.add(index, &path.segments, true);
    }

    /// The first route for a path to the letter that `is_for` takes.
    pub(super) fn first(&self, host: &str, path: &str, is_for: &impl Fn(usize) -> bool) -> Option<usize> {
        let path = path.strip_prefix('/').unwrap_or(path);
        // Those of a host stand before those of any.
        let of_host = self.of_hosts.get(host).and_then(|trees| trees.literal.first(Some(path), is_for));
        of_host.or_else(|| self.of_any.literal.first(Some(path), is_for))
    }

    /// The first route that some lenient app would take a path for, and that `is_for` takes.
    pub(super) fn first_loosely(&self, host: &str, path: &str, is_for: &impl Fn(usize) -> bool) -> Option<usize> {
        let path = path.split(['#', '?']).next().unwrap_or_default();
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let path = (!path.is_empty()).then_some(path);
        let mut first = None;
        for trees in [self.of_hosts.get(host), Some(&self.of_any)].into_iter().flatten() {
            trees.loose.each_loosely(path, &mut |index| {
                if first.is_none_or(|first| index < first) && is_for(index) {
                    first = Some(index);
                }
            });
        }
        first
    }
}

impl Node {
    fn add(&mut self, index: usize, segments: &[Segment], loosely: bool) {
        match segments {
            [] => self.ends.push(index),
            [Segment::Rest, ..] => self.rest.push(index),
            [Segment::Any, below @ ..] => self.any.get_or_insert_default().add(index, below, loosely),
            [Segment::Literal(literal), below @ ..] if literal.is_empty() => {
                self.slash.get_or_insert_default().add(index, below, loosely);
            }
            [Segment::Literal(literal), below @ ..] => {
                let key = if loosely { folded(literal) } else { Cow::Borrowed(literal.as_str()) };
                self.literals.entry(key.into()).or_default().add(index, below, loosely);
            }
        }
    }

    /// From the most specific to the least: literals before `*` before `**`, as the table is ordered.
    /// No node is looked at twice, whatever the path.
    fn first(&self, path: Option<&str>, is_for: &impl Fn(usize) -> bool) -> Option<usize> {
        let of_these = |these: &[usize]| these.iter().copied().find(|index| is_for(*index));
        let further = match path {
            None => of_these(&self.ends),
            Some(path) => {
                let (segment, rest) = split(path);
                let literal = if segment.is_empty() { self.slash.as_deref() } else { self.literals.get(segment) };
                let any = self.any.as_deref().filter(|_| !segment.is_empty());
                literal
                    .and_then(|node| node.first(rest, is_for))
                    .or_else(|| any.and_then(|node| node.first(rest, is_for)))
            }
        };
        further.or_else(|| of_these(&self.rest))
    }

    fn each_loosely(&self, path: Option<&str>, note: &mut impl FnMut(usize)) {
        self.rest.iter().for_each(|index| note(*index));
        let Some(path) = path else {
            self.ends.iter().for_each(|index| note(*index));
            if let Some(slash) = &self.slash {
                slash.each_loosely(None, note);
            }
            return;
        };
        let (segment, rest) = split(path);
        let segment = folded(segment);
        if let Some(node) = self.literals.get(&*segment) {
            node.each_loosely(rest, note);
        }
        if let Some(slash) = self.slash.as_ref().filter(|_| segment.is_empty()) {
            slash.each_loosely(rest, note);
        }
        if let Some(any) = &self.any {
            any.each_loosely(rest, note);
        }
    }
}

/// The first segment, and what follows it.
fn split(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)))
}

/// A segment as the most lenient app compares it; most are so already.
fn folded(segment: &str) -> Cow<'_, str> {
    let is_folded =
        segment.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) && !segment.ends_with(['.', ' ']);
    if is_folded { Cow::Borrowed(segment) } else { Cow::Owned(loose(segment).collect()) }
}
