// The shape of trees: which node is whose child, and the order in which a recursive network visits them.
// Twin: python/rnncore/reference/trees.py
#pragma once

#include <vector>

#include "rnncore/arrays.hpp"

namespace rnncore {

// Nodes in the order of their height: slot s holds node node[s]. A leaf has height 0, any other node one more than its
// highest child; the nodes of one height are a level, whose slots are [level_begin[k], level_begin[k + 1]).
struct Forest {
  bool binary = false;
  std::vector<index> node, level_begin;
  std::vector<index> parent, position_of;  // by slot; -1: a root. position_of: 0 for a left child, 1 for a right one
  std::vector<index> child_begin, child, position;

  index nodes() const { return static_cast<index>(node.size()); }
  index levels() const { return static_cast<index>(level_begin.size()) - 1; }
  index widest() const;  // nodes of the largest level

  // Of parent[nodes], -1 for a root: any number of children, in the order of the nodes.
  static Forest from_parents(const index* parents, index nodes);
  // Of children[nodes][2], left and right, -1 for none.
  static Forest from_children(const index* children, index nodes);
  // Both throw std::invalid_argument that names the node: an index out of range, a node of two parents, a circle.
};

}  // namespace rnncore
