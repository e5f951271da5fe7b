ARG RUBY=3.3
FROM ruby:${RUBY}-slim AS base
ENV BUNDLE_PATH=/bundle BUNDLE_WITHOUT=development:test
WORKDIR /rails
FROM base AS gems
RUN apt-get update && apt-get install -y build-essential
COPY Gemfile Gemfile.lock ./
RUN bundle install
FROM base
COPY --from=gems /bundle /bundle
COPY . .
EXPOSE 3000
CMD ["bin/rails", "server", "-b", "0.0.0.0"]
