#include "tensor/recurrent/trees.h"

namespace temper {

std::vector<std::vector<int64_t>> segment_trees(const std::vector<Segment>& segments) {
  std::vector<std::vector<int64_t>> trees;
  std::vector<size_t> tree_of(segments.size());
  for (size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].parent < 0) {
      tree_of[s] = trees.size();
      trees.emplace_back();
    } else {
      tree_of[s] = tree_of[segments[s].parent];
    }
    trees[tree_of[s]].push_back(static_cast<int64_t>(s));
  }
  return trees;
}

std::vector<int64_t> previous_tokens(const std::vector<Segment>& segments) {
  std::vector<int64_t> previous(segments.empty() ? 0 : segments.back().end);
  for (const Segment& segment : segments) {
    int64_t before = -1;
    for (int64_t p = segment.parent; p >= 0 && before < 0; p = segments[p].parent) {
      if (segments[p].length() > 0) before = segments[p].end - 1;
    }
    for (int64_t t = segment.begin; t < segment.end; ++t) {
      previous[t] = before;
      before = t;
    }
  }
  return previous;
}

}  // namespace temper
