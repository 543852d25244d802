# The real gateway with an observer beside it, for measurements only: twistd --nodaemon --python bench/observed.tac
from bench.observed import make_application

application = make_application()
