#include "rnncore/forest.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace rnncore {
namespace {

std::string text(index number) { return std::to_string(number); }

// A node with every node's parent in reach: walking up more often than there are nodes ends inside a circle.
[[noreturn]] void name_circle(const std::vector<index>& parent, index node) {
  for (std::size_t step = 0; step < parent.size(); ++step) node = parent[static_cast<std::size_t>(node)];
  throw std::invalid_argument("node " + text(node) + " is its own ancestor: expected trees, got a circle");
}

// Heights by peeling off leaves: no recursion, so that a chain may be as long as memory allows.
std::vector<index> heights_of(const std::vector<index>& parent) {
  const std::size_t nodes = parent.size();
  std::vector<index> height(nodes, 0), waiting(nodes, 0), ready;
  for (const index p : parent)
    if (p >= 0) ++waiting[static_cast<std::size_t>(p)];
  for (std::size_t n = 0; n < nodes; ++n)
    if (waiting[n] == 0) ready.push_back(static_cast<index>(n));
  std::size_t done = 0;
  for (; done < ready.size(); ++done) {
    const auto n = static_cast<std::size_t>(ready[done]);
    if (parent[n] < 0) continue;
    const auto p = static_cast<std::size_t>(parent[n]);
    height[p] = std::max(height[p], height[n] + 1);
    if (--waiting[p] == 0) ready.push_back(parent[n]);
  }
  if (done < nodes)
    name_circle(parent, static_cast<index>(std::find_if(waiting.begin(), waiting.end(), [](index w) { return w > 0; }) -
                                           waiting.begin()));
  return height;
}

Forest in_slots(const std::vector<index>& parent, const std::vector<index>& position, bool binary) {
  const std::size_t nodes = parent.size();
  const std::vector<index> height = heights_of(parent);
  Forest forest;
  forest.binary = binary;
  const index highest = nodes == 0 ? -1 : *std::max_element(height.begin(), height.end());
  forest.level_begin.assign(static_cast<std::size_t>(highest + 2), 0);
  for (const index h : height) ++forest.level_begin[static_cast<std::size_t>(h + 1)];
  for (std::size_t k = 1; k < forest.level_begin.size(); ++k) forest.level_begin[k] += forest.level_begin[k - 1];

  std::vector<index> slot(nodes), next = forest.level_begin;
  forest.node.resize(nodes), forest.parent.resize(nodes), forest.position_of = forest.node;
  for (std::size_t n = 0; n < nodes; ++n) {
    slot[n] = next[static_cast<std::size_t>(height[n])]++;
    forest.node[static_cast<std::size_t>(slot[n])] = static_cast<index>(n);
  }
  forest.child_begin.assign(nodes + 1, 0);
  for (std::size_t s = 0; s < nodes; ++s) {
    const auto n = static_cast<std::size_t>(forest.node[s]);
    forest.parent[s] = parent[n] < 0 ? -1 : slot[static_cast<std::size_t>(parent[n])];
    forest.position_of[s] = position[n];
    if (forest.parent[s] >= 0) ++forest.child_begin[static_cast<std::size_t>(forest.parent[s]) + 1];
  }
  for (std::size_t s = 0; s < nodes; ++s) forest.child_begin[s + 1] += forest.child_begin[s];
  forest.child.resize(static_cast<std::size_t>(forest.child_begin[nodes])), forest.position = forest.child;
  std::vector<index> fill(forest.child_begin.begin(), forest.child_begin.end() - 1);
  for (std::size_t n = 0; n < nodes;
       ++n) {  // by node: a sum over children has one order, whatever stands beside the tree
    if (parent[n] < 0) continue;
    const auto at =
        static_cast<std::size_t>(fill[static_cast<std::size_t>(slot[static_cast<std::size_t>(parent[n])])]++);
    forest.child[at] = slot[n];
    forest.position[at] = position[n];
  }
  return forest;
}

}  // namespace

index Forest::widest() const {
  index most = 0;
  for (std::size_t k = 1; k < level_begin.size(); ++k) most = std::max(most, level_begin[k] - level_begin[k - 1]);
  return most;
}

Forest Forest::from_parents(const index* parents, index nodes) {
  for (index n = 0; n < nodes; ++n)
    if (parents[n] < -1 || parents[n] >= nodes)
      throw std::invalid_argument("parent of node " + text(n) + " must be in -1.." + text(nodes - 1) + ", got " +
                                  text(parents[n]));
  return in_slots({parents, parents + nodes}, std::vector<index>(static_cast<std::size_t>(nodes), 0), false);
}

Forest Forest::from_children(const index* children, index nodes) {
  std::vector<index> parent(static_cast<std::size_t>(nodes), -1), position(static_cast<std::size_t>(nodes), 0);
  for (index n = 0; n < nodes; ++n)
    for (index side = 0; side < 2; ++side) {
      const index k = children[2 * n + side];
      if (k < -1 || k >= nodes)
        throw std::invalid_argument("children of node " + text(n) + " must be in -1.." + text(nodes - 1) + ", got " +
                                    text(k));
      if (k < 0) continue;
      const auto at = static_cast<std::size_t>(k);
      if (parent[at] >= 0)
        throw std::invalid_argument("node " + text(k) + " is a child of node " + text(parent[at]) + " and of node " +
                                    text(n) + ": expected one parent");
      parent[at] = n;
      position[at] = side;
    }
  return in_slots(parent, position, true);
}

}  // namespace rnncore
