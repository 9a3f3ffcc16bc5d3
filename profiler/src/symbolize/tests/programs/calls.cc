// Calls functions of the C++ library, whose names are mangled.

#include <iostream>

int main(int count, char **)
{
	int *numbers = new int[count]();
	int *one = new int(count);
	std::cout << numbers[0] + *one << std::endl;
	delete[] numbers;
	delete one;
}
