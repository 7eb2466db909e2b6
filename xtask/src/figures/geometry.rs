//! Where boxes, arrows and labels are, in pixels. Text is set in a fixed pitch, so that its width
//! is known without a font.

use super::diagram::{Arrow, Diagram, State};

/// Width of a box.
const BOX_WIDTH: f64 = 190.0;
/// Height of a box around one line.
const BOX_HEIGHT: f64 = 34.0;
/// Height of a line of text.
pub(super) const LINE: f64 = 17.0;
/// Width of a character of a label; that of the widest fixed-pitch font in use.
const CHARACTER: f64 = 7.3;
/// How far an arrow keeps from the middle when another comes the opposite way.
const LANE: f64 = 11.0;
/// Between an arrow and its label.
const GAP: f64 = 9.0;
/// Around the text of a label that lies on its arrow.
const PADDING: f64 = 5.0;
/// Along a vertical arrow from its start to the middle of its label. Labels of the two arrows
/// of a pair are so at different heights, and out of the way of a diagonal between them.
const VERTICAL_SHARE: f64 = 0.36;

/// A point, to the right and down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Rect {
    /// The smallest that holds both.
    pub(super) fn and(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// With `margin` more on every side.
    pub(super) fn grown(self, margin: f64) -> Self {
        Self {
            x: self.x - margin,
            y: self.y - margin,
            width: self.width + 2.0 * margin,
            height: self.height + 2.0 * margin,
        }
    }

    fn middle(self) -> Point {
        Point { x: self.x + self.width / 2.0, y: self.y + self.height / 2.0 }
    }
}

/// On which side of its anchor text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Start,
    Middle,
    End,
}

impl Align {
    /// The class of the style sheet, as an attribute.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Start => "",
            Self::Middle => " class=\"middle\"",
            Self::End => " class=\"end\"",
        }
    }
}

/// The text of an arrow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    /// What it covers.
    pub(super) area: Rect,
    pub(super) align: Align,
    /// It lies on its arrow and hides a piece of it.
    pub(super) is_on_arrow: bool,
}

impl Label {
    /// Where its lines are anchored, to the right.
    pub(super) fn anchor(&self) -> f64 {
        let Rect { x, width, .. } = self.area;
        match self.align {
            Align::Start => x,
            Align::Middle => x + width / 2.0,
            Align::End => x + width,
        }
    }
}

/// An arrow with its label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) start: Point,
    pub(super) end: Point,
    pub(super) label: Label,
}

/// The box of a state.
pub(super) fn area(state: &State) -> Rect {
    let lines = state.name.len() + usize::from(!state.meaning.is_empty());
    let height = BOX_HEIGHT + LINE * (as_pixels(lines) - 1.0);
    let (x, y) = state.at;
    Rect { x: x - BOX_WIDTH / 2.0, y: y - height / 2.0, width: BOX_WIDTH, height }
}

/// Where an arrow and its label are. Of two arrows between the same states each keeps to its
/// right.
pub(super) fn route(diagram: &Diagram, arrow: &Arrow) -> Route {
    let (from, to) = (area(&diagram.states[arrow.from]), area(&diagram.states[arrow.to]));
    let (a, b) = (from.middle(), to.middle());
    let length = (b.x - a.x).hypot(b.y - a.y);
    let way = Point { x: (b.x - a.x) / length, y: (b.y - a.y) / length };
    let right = Point { x: -way.y, y: way.x };
    let lane = if diagram.is_both_ways(arrow) { LANE } else { 0.0 };
    let shifted = |p: Point| Point { x: p.x + right.x * lane, y: p.y + right.y * lane };
    let start = border(from, shifted(a), way);
    let end = border(to, shifted(b), Point { x: -way.x, y: -way.y });
    let widest = arrow.events.iter().map(|event| event.text().chars().count()).max();
    let width = as_pixels(widest.unwrap_or(0)) * CHARACTER;
    let height = as_pixels(arrow.events.len()) * LINE;
    let label = label((start, end), right, (width, height));
    Route { start, end, label }
}

/// Where a ray from `inside` a box leaves it.
fn border(area: Rect, inside: Point, way: Point) -> Point {
    let until = |at: f64, way: f64, low: f64, high: f64| {
        let distance = if way > 0.0 { (high - at) / way } else { (low - at) / way };
        if way == 0.0 { f64::INFINITY } else { distance }
    };
    let across = until(inside.x, way.x, area.x, area.x + area.width);
    let down = until(inside.y, way.y, area.y, area.y + area.height);
    let distance = across.min(down);
    Point { x: inside.x + way.x * distance, y: inside.y + way.y * distance }
}

/// Puts a label beside a horizontal or vertical arrow, on its right, and onto any other.
fn label((start, end): (Point, Point), right: Point, (width, height): (f64, f64)) -> Label {
    let middle = Point { x: (start.x + end.x) / 2.0, y: (start.y + end.y) / 2.0 };
    let at = |x: f64, y: f64| Rect { x, y, width, height };
    if start.y == end.y {
        let y = if right.y < 0.0 { start.y - GAP - height } else { start.y + GAP };
        return Label {
            area: at(middle.x - width / 2.0, y),
            align: Align::Middle,
            is_on_arrow: false,
        };
    }
    if start.x == end.x {
        let y = start.y + (end.y - start.y) * VERTICAL_SHARE - height / 2.0;
        let (x, align) = if right.x < 0.0 {
            (start.x - GAP - width, Align::End)
        } else {
            (start.x + GAP, Align::Start)
        };
        return Label { area: at(x, y), align, is_on_arrow: false };
    }
    let area = at(middle.x - width / 2.0, middle.y - height / 2.0).grown(PADDING);
    Label { area, align: Align::Middle, is_on_arrow: true }
}

/// A small number of things as a length. No table comes near the limit.
fn as_pixels(count: usize) -> f64 {
    u16::try_from(count).map_or(f64::from(u16::MAX), f64::from)
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;

    fn overlap(a: Rect, b: Rect) -> bool {
        a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
    }

    /// Whether an arrow comes into `area`, looked at every quarter of a pixel or closer.
    fn crosses(route: &Route, area: Rect) -> bool {
        let Route { start, end, .. } = route;
        (0..=4000).map(|step| f64::from(step) / 4000.0).any(|share| {
            let x = start.x + (end.x - start.x) * share;
            let y = start.y + (end.y - start.y) * share;
            overlap(Rect { x, y, width: 0.0, height: 0.0 }, area)
        })
    }

    /// What lies on something else in a picture, a line each.
    fn collisions(diagram: &Diagram) -> Vec<String> {
        let routes: Vec<_> = diagram.arrows.iter().map(|arrow| route(diagram, arrow)).collect();
        let boxes = diagram.states.iter().map(|state| (state.name.join(" "), area(state)));
        let labels = diagram.arrows.iter().zip(&routes).map(|(arrow, route)| {
            (format!("label {} -> {}", arrow.from, arrow.to), route.label.area)
        });
        let areas: Vec<_> = boxes.chain(labels).collect();
        let mut found = Vec::new();
        for (at, (name, area)) in areas.iter().enumerate() {
            for (other, beside) in &areas[..at] {
                if overlap(*area, beside.grown(2.0)) {
                    found.push(format!("{name} and {other}"));
                }
            }
            for (arrow, route) in diagram.arrows.iter().zip(&routes) {
                let own = format!("label {} -> {}", arrow.from, arrow.to);
                let may = *name == own && route.label.is_on_arrow;
                // An arrow ends on the border of its boxes.
                if !may && crosses(route, area.grown(-0.5)) {
                    found.push(format!("{name} and arrow {} -> {}", arrow.from, arrow.to));
                }
            }
        }
        found
    }

    #[test]
    fn nothing_lies_on_anything_else() {
        assert_eq!(collisions(&tables::rings()), [""; 0]);
        assert_eq!(collisions(&tables::postcopy()), [""; 0]);
    }

    #[test]
    fn the_text_of_a_box_fits_into_it() {
        for state in [tables::rings(), tables::postcopy()].into_iter().flat_map(|all| all.states) {
            let rule = state.rule.map_or(0, |rule| rule.to_string().len() + 1);
            let meaning = as_pixels(state.meaning.chars().count() + rule) * CHARACTER;
            let names = state.name.iter().map(|line| as_pixels(line.chars().count()));
            // Names are larger than labels by a twelfth, meanings smaller.
            let widest = names.map(|count| count * CHARACTER * 13.0 / 12.0).fold(0.0, f64::max);
            assert!(widest.max(meaning * 11.0 / 12.0) + 2.0 * PADDING <= BOX_WIDTH, "{state:?}");
        }
    }

    #[test]
    fn a_crowded_picture_is_seen_as_such() {
        let mut diagram = tables::postcopy();
        diagram.states[1].at = diagram.states[0].at;
        assert!(!collisions(&diagram).is_empty());
        let mut diagram = tables::rings();
        diagram.states[3].at.1 = diagram.states[1].at.1 + 90.0;
        assert!(!collisions(&diagram).is_empty());
    }

    #[test]
    fn a_ray_leaves_a_box_at_its_border() {
        let area = Rect { x: 0.0, y: 0.0, width: 10.0, height: 4.0 };
        let from = Point { x: 5.0, y: 2.0 };
        let to = |x, y| border(area, from, Point { x, y });
        assert_eq!(to(1.0, 0.0), Point { x: 10.0, y: 2.0 });
        assert_eq!(to(0.0, -1.0), Point { x: 5.0, y: 0.0 });
        assert_eq!(to(-0.8, 0.6), Point { x: 5.0 - 0.8 * (2.0 / 0.6), y: 4.0 });
    }
}
