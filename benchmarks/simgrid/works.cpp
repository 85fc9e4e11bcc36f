// The works of benchmarks/works.py on SimGrid's public S4U API.
//
//   works ring       star|tree RANKS
//   works all_to_all in_order|shuffled RANKS
//
// Ring all-reduce of 64 MiB, or pairwise all-to-all of 64 MiB a rank, one actor
// a rank. Every actor waits for its own send and its own receive in each step; a
// communication starts when both ends have posted it. Links of 50e9 bytes/s and
// 1 us (no latency where ranks are shuffled), every path an explicit route.
//
// Pure max-min (model CM02 without TCP's window, cross traffic or bandwidth factors)
// at the precision at which equal ends stay equal.
//
// Prints: simulated seconds, CPU seconds from the finished platform to the
// answer, CPU seconds and peak KiB of the whole process.

#include <simgrid/s4u.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace sg4 = simgrid::s4u;

namespace {

constexpr double bandwidth = 50e9;
constexpr double size      = 64.0 * 1024 * 1024;

#if SIMGRID_VERSION >= 33300
constexpr const char* precisions[] = {"precision/timing:1e-12", "precision/work-amount:1e-12"};
#else
constexpr const char* precisions[] = {"surf/precision:1e-12", "maxmin/precision:1e-12"};
#endif

double cpu_seconds()
{
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

// VmHWM, not ru_maxrss: that also counts what the parent held when it started us.
long peak_kib()
{
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0)
      return std::atol(line.c_str() + 6);
  return 0;
}

// The shuffle of benchmarks/fabrics.py.
std::vector<int> shuffled(int ranks)
{
  std::vector<int> place(ranks);
  std::iota(place.begin(), place.end(), 0);
  std::uint64_t x = 12345;
  for (int i = ranks - 1; i > 0; i--) {
    x = 6364136223846793005ULL * x + 1442695040888963407ULL;
    std::swap(place[i], place[(x >> 33) % (i + 1)]);
  }
  return place;
}

// Hosts with a link up and a link down each; `side` leaves of `side` hosts joined
// by `side` spines, or one switch for all where side is 0.
class Fabric {
  int side_;
  double latency_;
  sg4::NetZone* zone_ = sg4::create_full_zone("fabric");
  std::vector<sg4::Host*> hosts_;
  std::vector<const sg4::Link*> up_, down_, rise_, fall_;

  const sg4::Link* link(const std::string& name)
  {
    return zone_->create_link(name, bandwidth)->set_latency(latency_)->seal();
  }

public:
  Fabric(int ranks, int side, double latency) : side_(side), latency_(latency)
  {
    for (int i = 0; i < ranks; i++) {
      hosts_.push_back(zone_->create_host("h" + std::to_string(i), 1e9)->seal());
      up_.push_back(link("up" + std::to_string(i)));
      down_.push_back(link("down" + std::to_string(i)));
    }
    for (int i = 0; i < side * side; i++) {
      rise_.push_back(link("rise" + std::to_string(i)));
      fall_.push_back(link("fall" + std::to_string(i)));
    }
  }

  // D-mod-k: the spine is the destination's number modulo the number of spines.
  void route(int src, int dst)
  {
    std::vector<sg4::LinkInRoute> path{sg4::LinkInRoute(up_[src])};
    if (side_ > 0 && src / side_ != dst / side_) {
      const int spine = dst % side_;
      path.emplace_back(rise_[(src / side_) * side_ + spine]);
      path.emplace_back(fall_[(dst / side_) * side_ + spine]);
    }
    path.emplace_back(down_[dst]);
    zone_->add_route(hosts_[src]->get_netpoint(), hosts_[dst]->get_netpoint(), nullptr, nullptr, path, false);
  }

  sg4::Host* host(int i) const { return hosts_[i]; }
  void seal() { zone_->seal(); }
};

// One rank; `stride(k)` says to which rank after its own it sends in step k.
template <class Stride> void rank_main(int rank, int ranks, int steps, std::uint64_t bytes, Stride stride)
{
  static char payload;
  const std::string mine = std::to_string(rank);
  for (int k = 0; k < steps; k++) {
    const std::string there = std::to_string((rank + stride(k)) % ranks);
    const std::string from  = std::to_string((rank + ranks - stride(k)) % ranks);
    // A mailbox for each pair: a rank that is steps ahead must not take another's place.
    char* arrived  = nullptr;
    auto receiving = sg4::Mailbox::by_name(from + ">" + mine)->get_async<char>(&arrived);
    auto sending   = sg4::Mailbox::by_name(mine + ">" + there)->put_async(&payload, bytes);
    sending->wait();
    receiving->wait();
  }
}

int usage()
{
  std::fprintf(stderr, "usage: works ring star|tree RANKS | works all_to_all in_order|shuffled RANKS\n");
  return 2;
}

} // namespace

int main(int argc, char** argv)
{
  sg4::Engine engine(&argc, argv);
  if (argc != 4)
    return usage();
  for (const char* option : {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0"})
    sg4::Engine::set_config(option);
  for (const char* option : precisions)
    sg4::Engine::set_config(option);
  const std::string work = argv[1];
  const std::string kind = argv[2];
  const int ranks        = std::atoi(argv[3]);
  const bool ring        = work == "ring";
  if (ranks < 2 || !(ring ? kind == "star" || kind == "tree"
                          : work == "all_to_all" && (kind == "in_order" || kind == "shuffled")))
    return usage();

  const int side = kind == "star" ? 0 : static_cast<int>(std::lround(std::sqrt(ranks)));
  Fabric fabric(ranks, side, kind == "shuffled" ? 0.0 : 1e-6);
  for (int src = 0; src < ranks; src++) {
    if (ring)
      fabric.route(src, (src + 1) % ranks);
    else
      for (int k = 1; k < ranks; k++)
        fabric.route(src, (src + k) % ranks);
  }
  fabric.seal();

  std::vector<int> place(ranks);
  std::iota(place.begin(), place.end(), 0);
  if (kind == "shuffled")
    place = shuffled(ranks);
  const auto bytes = static_cast<std::uint64_t>(size / ranks);
  const double before = cpu_seconds();
  for (int rank = 0; rank < ranks; rank++) {
    sg4::Actor::create("r" + std::to_string(rank), fabric.host(place[rank]), [=] {
      if (ring)
        rank_main(rank, ranks, 2 * (ranks - 1), bytes, [](int) { return 1; });
      else
        rank_main(rank, ranks, ranks - 1, bytes, [](int k) { return k + 1; });
    });
  }
  engine.run();
  const double after = cpu_seconds();
  std::printf("%.12f %.3f %.3f %ld\n", sg4::Engine::get_clock(), after - before, after, peak_kib());
  return 0;
}
