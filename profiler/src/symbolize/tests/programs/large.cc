// One of many compilation units of a large library: templates of the standard library over types of its own.
// UNIT and its neighbours make the names of each unit its own.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

namespace JOIN(unit, UNIT) {

template <int N> struct Record {
	int key = N;
	double weight = 0;
	std::string label;
	std::vector<int> values;
	std::map<std::string, int> index;
	int get(int x) const { return key + x * (N + 1); }
};

template <int N> int work(Record<N> &record, std::vector<Record<N>> &all, int n)
{
	int sum = N;
	for (auto &one : all) {
		sum += one.get(n);
		one.index[one.label] += sum;
		one.values.push_back(sum);
	}
	std::sort(all.begin(), all.end(), [](const auto &a, const auto &b) { return a.get(N) < b.get(N + 1); });
	std::function<int(int)> later = [&](int q) { return q + sum + record.get(q); };
	auto shared = std::make_shared<Record<N>>(record);
	record.label += std::to_string(sum) + shared->label;
	return later(n);
}

#define INSTANCE(N) template int work<N>(Record<N> &, std::vector<Record<N>> &, int);
INSTANCE(0) INSTANCE(1) INSTANCE(2) INSTANCE(3) INSTANCE(4) INSTANCE(5)
INSTANCE(6) INSTANCE(7) INSTANCE(8) INSTANCE(9) INSTANCE(10) INSTANCE(11)

} // namespace
