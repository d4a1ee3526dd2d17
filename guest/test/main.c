#include "check.h"

static uint32_t state = 0x2545f491;

uint32_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

int main(int count, char **arguments)
{
	CHECK(count == 2);
	test_golden(arguments[1]);
	test_fields();
	test_link();
	test_transport();
	puts("guest: ok");
	return 0;
}
