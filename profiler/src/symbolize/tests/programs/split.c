/* A function that gcc splits into a hot and a cold part, which lie in different sections. */
__attribute__((cold, noinline)) void rare(int a)
{
	volatile int b = a;
	b++;
}

__attribute__((noinline)) int outer(int a)
{
	volatile int sum = 0;
	for (int i = 0; i < a; i++) {
		if (__builtin_expect(sum < 0, 0)) {
			rare(sum);
			sum = sum * 3 + i;
			rare(i);
		}
		sum += i;
	}
	return sum;
}

int main(int argc, char **argv)
{
	(void)argv;
	return outer(argc) != 0;
}
